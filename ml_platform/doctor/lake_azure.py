"""The lake in a storage account: container, permission, credential, clock."""

import os
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit
from uuid import uuid4

from ml_platform.doctor.azure_failures import Asked, code_of, explained
from ml_platform.doctor.check import CheckFailed, Seen
from ml_platform.doctor.lake import FOLDER
from ml_platform.training.blobs import KEY, LAKE, SAS, STORAGE_SCOPE, open_container

if TYPE_CHECKING:
    from azure.storage.blob import ContainerClient

MOST_SKEW = timedelta(minutes=5)
"""Tokens and signatures are refused when the clocks are 15 minutes apart, tokens at times sooner."""

ROLE = "Storage Blob Data Contributor"
CONNECT_SECONDS, READ_SECONDS = 5, 15
LISTED = 200


def look_at_container(uri: str, now: datetime | None = None) -> Seen:
    """List the lake; write, read and remove a document under doctor/. `now` is this machine's time."""
    from azure.core.exceptions import AzureError, HttpResponseError

    seen: Seen = {"uri": uri, "as": _credential()}
    clock = _Clock(now)
    with open_container(uri, **_haste()) as container:
        asked = _asked(uri, container)
        try:
            return seen | _used(container, urlsplit(uri).path.strip("/"), clock) | clock.seen()
        except HttpResponseError as error:
            clock.hear(error.response)
            raise clock.failure() or _storage_failure(error, asked) from error
        except AzureError as error:
            raise _storage_failure(error, asked) from error


def _used(container: "ContainerClient", root: str, clock: "_Clock") -> Seen:
    options: dict[str, Any] = {"raw_response_hook": lambda answer: clock.hear(answer.http_response)}
    prefix = f"{root}/" if root else ""
    page = next(container.walk_blobs(prefix, results_per_page=LISTED, **options).by_page(), ())
    entries = len(list(page))
    name, content = f"{prefix}{FOLDER}/{uuid4().hex}.txt", b"ml-platform doctor"
    container.upload_blob(name, content, **options)
    read = container.download_blob(name, **options).readall()
    container.delete_blob(name, **options)
    if read != content:
        raise CheckFailed(f"{name} gives back other than was written", "Ask Azure's support about the account")
    if failure := clock.failure():
        raise failure
    return {"entries": entries, "written_and_removed": name}


def _haste() -> dict[str, Any]:
    """A doctor says soon what a run would wait for: by itself the client tries again after 15 s, and later ones."""
    from azure.storage.blob import LinearRetry

    retries = LinearRetry(backoff=1, retry_total=2, random_jitter_range=0)
    return {"retry_policy": retries, "connection_timeout": CONNECT_SECONDS, "read_timeout": READ_SECONDS}


class _Clock:
    """This machine's clock beside the service's, as its answers show it."""

    def __init__(self, now: datetime | None) -> None:
        self._now, self._skew = now, timedelta()

    def hear(self, answer: Any) -> None:
        if date := answer.headers.get("Date") if answer is not None else None:
            self._skew = (self._now or datetime.now(UTC)) - parsedate_to_datetime(date)

    def seen(self) -> Seen:
        return {"clock_seconds_ahead": round(self._skew.total_seconds())}

    def failure(self) -> CheckFailed | None:
        if abs(self._skew) <= MOST_SKEW:
            return None
        minutes = self._skew.total_seconds() / 60
        return CheckFailed(
            f"this machine's clock is {abs(minutes):.0f} minutes {'ahead of' if minutes > 0 else 'behind'} Azure's",
            "Set the clock of this machine, and keep it set with NTP: tokens and signatures are refused otherwise",
            **self.seen(),
        )


def _credential() -> str:
    return KEY if os.environ.get(KEY) else SAS if os.environ.get(SAS) else "identity"


def _asked(uri: str, container: "ContainerClient") -> Asked:
    found = LAKE.fullmatch(uri)
    assert found
    name = f"container {found['container']} of storage account {found['account']}"
    return Asked(name, str(urlsplit(container.url).netloc), ROLE, STORAGE_SCOPE)


def _storage_failure(error: Any, asked: Asked) -> CheckFailed:
    credential, code = _credential(), code_of(error)
    if type(error).__name__ == "AzureSigningError":
        return CheckFailed(f"what {KEY} holds is no key of a storage account", _renew(asked, credential))
    status = getattr(error, "status_code", None)
    if status in (400, 401, 403) and (remedy := _by_code(code, credential, asked)):
        return CheckFailed(f"{asked.resource} answers {status} {code} to {credential}", remedy)
    if status is None and "resolve" in str(error).lower():
        return CheckFailed(
            f"there is no storage account at {asked.host}: its name is not known",
            f"Correct the account in ML_PLATFORM_LAKE_URI, create it, or let this machine resolve {asked.host} (a "
            "private DNS zone)",
        )
    return explained(error, asked, f"Create {asked.resource}, or correct ML_PLATFORM_LAKE_URI")


def _by_code(code: str, credential: str, asked: Asked) -> str:
    """What to do about a refusal, where its code says more than its status."""
    if credential != "identity" and code in ("AuthenticationFailed", "InvalidAuthenticationInfo"):
        return _renew(asked, credential)
    if credential == SAS and _has_ended(os.environ[SAS]):
        return _renew(asked, credential)
    if code in ("AuthorizationFailure", "AuthorizationSourceIPMismatch"):
        return f"Let this machine's network in by the network rules of {asked.resource}, or use its private endpoint"
    if code == "KeyBasedAuthenticationNotPermitted":
        return f"Unset {KEY}: {asked.resource} takes identities only; give yours the role {ROLE}"
    return (
        f"Let the SAS in {SAS} list, read, write, create, add and delete in {asked.resource}"
        if credential == SAS
        else ""
    )


def _has_ended(sas: str) -> bool:
    """By its own word: `se` is the end (https://learn.microsoft.com/rest/api/storageservices/create-service-sas)."""
    ends = parse_qs(sas.lstrip("?")).get("se", [""])[0]
    return bool(ends) and datetime.fromisoformat(ends).replace(tzinfo=UTC) < datetime.now(UTC)


def _renew(asked: Asked, credential: str) -> str:
    if credential == KEY:
        return (
            f"Put a current key of {asked.resource} into {KEY} (az storage account keys list), or unset it to use an "
            f"identity with the role {ROLE}"
        )
    return f"Put a SAS that has not ended, of {asked.resource}, into {SAS}, or unset it to use an identity"
