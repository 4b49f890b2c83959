"""The keys that open an endpoint, read again whenever their file is replaced."""

import hmac
import logging
from pathlib import Path
from typing import Protocol

from ml_platform.scoring.state import Keys, fingerprint, read_state

_SCHEME = b"Bearer "

logger = logging.getLogger(__name__)


class Opener(Protocol):
    """Says who may ask."""

    def refresh(self) -> None:
        """Take over what has changed."""
        ...

    def opens(self, authorization: bytes) -> bool:
        """Whether a request with that value of its Authorization header may be answered."""
        ...


class Unlocked:
    """Lets everybody ask: behind a front end that has checked the keys."""

    def refresh(self) -> None:
        """See Opener.refresh."""

    def opens(self, authorization: bytes) -> bool:
        """See Opener.opens."""
        return True


class KeyRing:
    """Holds the keys of `path` (mode 0600); `refresh` keeps the old ones when a new file is no good."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen = fingerprint(path)
        self._headers = _read(path)

    def refresh(self) -> None:
        """Take over a replaced file."""
        seen = fingerprint(self._path)
        if seen == self._seen:
            return
        self._seen = seen
        try:
            self._headers = _read(self._path)
        except ValueError as error:
            logger.error("the keys stay as they were: %s", error)

    def opens(self, authorization: bytes) -> bool:
        """Whether the value of an Authorization header is `Bearer <key>`; takes equally long for every wrong key."""
        if not authorization.startswith(_SCHEME):
            scheme, _, key = authorization.partition(b" ")
            authorization = scheme.title() + b" " + key.strip()
        primary, secondary = self._headers
        return hmac.compare_digest(authorization, primary) | hmac.compare_digest(authorization, secondary)


def _read(path: Path) -> tuple[bytes, bytes]:
    keys = read_state(path, Keys)
    if keys is None:
        raise ValueError(f"{path} is missing")
    if path.stat().st_mode & 0o077:
        raise ValueError(f"{path} can be read by others; set its mode to 0600")
    if not keys.primary or not keys.secondary:
        raise ValueError(f"{path} has an empty key")
    return _SCHEME + keys.primary.encode(), _SCHEME + keys.secondary.encode()
