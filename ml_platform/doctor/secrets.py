"""Takes secrets out of what is shown: those that the environment and the settings hold, and what looks like one.

The checks show none themselves. This is for what libraries say: a message may quote an address or a header.
"""

import os
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from urllib.parse import quote, unquote

from pydantic import SecretStr

from ml_platform.settings import Settings

HIDDEN = "***"
SHORTEST = 6
"""A shorter value is no secret, and would be found in ordinary words."""

_NAMED = re.compile(r"KEY|SECRET|TOKEN|PASSWORD|PASSWD|SAS|CONNECTION_STRING|IDENTITY_HEADER|ALERT_URLS")
_PLACE = re.compile(r"_(FILE|PATH|URL|URI)$")
_LOOKS = (
    (re.compile(r"(?<=://)([^/\s:@]*):[^/\s@]+(?=@)"), rf"\1:{HIDDEN}"),
    (re.compile(r"(?i)\b(sig|AccountKey|SharedAccessSignature|password|client_secret)=[^&;\s\"']+"), rf"\1={HIDDEN}"),
    (re.compile(r"\beyJ[\w-]+\.[\w-]+\.[\w-]*"), HIDDEN),
    (re.compile(r"(?i)\bbearer [\w.~+/=-]+"), f"Bearer {HIDDEN}"),
    (re.compile(r"\bdapi[0-9a-f]{20,}\S*"), HIDDEN),
)


def hider(settings: Settings | None, environment: Mapping[str, str] = os.environ) -> Callable[[Any], Any]:
    """A function that takes secrets out of a text, or of each text in a dictionary, and leaves other values alone."""
    secrets = sorted(set(_secrets(settings, environment)), key=len, reverse=True)

    def hide(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: hide(each) for key, each in value.items()}
        if not isinstance(value, str):
            return value
        for secret in secrets:
            value = value.replace(secret, HIDDEN)
        for looks, instead in _LOOKS:
            value = looks.sub(instead, value)
        return value

    return hide


def _secrets(settings: Settings | None, environment: Mapping[str, str]) -> Iterator[str]:
    for name, value in environment.items():
        if _NAMED.search(name.upper()) and not _PLACE.search(name.upper()):
            yield from _forms(value)
    for value in vars(settings).values() if settings else ():
        for each in value if isinstance(value, tuple) else (value,):
            if isinstance(each, SecretStr):
                yield from _forms(each.get_secret_value())


def _forms(value: str) -> Iterator[str]:
    """A secret, its words, and how they stand in a URL and in a repr."""
    for each in (value, *value.split()):
        for form in (each, quote(each, safe=""), unquote(each), repr(each)[1:-1]):
            if len(form) >= SHORTEST:
                yield form
