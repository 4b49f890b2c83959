"""An alert: what happened, the evidence and the link, short enough for every service and without secrets."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal

Kind = Literal["failed run", "failed check", "refused", "decision", "approval", "sensor"]

# Together below 2,000 characters, the least that a usual service takes (Discord's).
_MOST = {"key": 400, "title": 150, "what": 600, "evidence": 800, "link": 300}

_USER_OF_URL = re.compile(r"(?<=://)[^\s/]+@")
# No repetition before the name: a long word would cost its square.
_NAMED_SECRET = re.compile(
    r"""(?i)((?:password|passwd|pwd|secret|token|api[_-]?key|account_?key|(?<![a-z])sig|authorization))"""
    r"""(["']?\s*[=:]\s*["']?)((?:bearer|basic)\s+)?[^\s&;,"']+"""
)
_READ = 20_000


@dataclass(frozen=True)
class Alert:
    """Something that a person should know. Alerts with the same `key` are one: only the first is told."""

    kind: Kind
    key: str
    title: str
    what: str
    evidence: str
    link: str
    at: datetime


def presentable(alert: Alert, secrets: Sequence[str] = ()) -> Alert:
    """`alert` with every text bounded, and without `secrets`, the users of URLs and what is named like a secret."""
    texts = {name: getattr(alert, name) for name in ("title", "what", "evidence", "link")}
    clean = {name: _bounded(_redacted(text[:_READ], secrets), _MOST[name]) for name, text in texts.items()}
    return replace(alert, key=alert.key[: _MOST["key"]], **clean)


def _redacted(text: str, secrets: Sequence[str]) -> str:
    for secret in secrets:
        text = text.replace(secret, "***")
    return _NAMED_SECRET.sub(r"\1\2***", _USER_OF_URL.sub("***@", text))


def _bounded(text: str, most: int) -> str:
    text = text.strip()
    return text if len(text) <= most else text[: most - 1] + "…"
