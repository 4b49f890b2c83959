"""The keys that open an endpoint, read again whenever their file is replaced."""

import hmac
import logging
from pathlib import Path

from ml_platform.scoring.state import Keys, fingerprint, read_state

logger = logging.getLogger(__name__)


class KeyRing:
    """Holds the keys of `path` (mode 0600); `refresh` keeps the old ones when a new file is no good."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen = fingerprint(path)
        self._keys = _read(path)

    def refresh(self) -> None:
        """Take over a replaced file."""
        seen = fingerprint(self._path)
        if seen == self._seen:
            return
        self._seen = seen
        try:
            self._keys = _read(self._path)
        except ValueError as error:
            logger.error("the keys stay as they were: %s", error)

    def opens(self, authorization: bytes) -> bool:
        """Whether the value of an Authorization header is `Bearer <key>`; takes equally long for every wrong key."""
        scheme, _, key = authorization.partition(b" ")
        given = key.strip()
        fits = [hmac.compare_digest(given, known) for known in self._keys]
        return scheme.lower() == b"bearer" and any(fits)


def _read(path: Path) -> tuple[bytes, bytes]:
    keys = read_state(path, Keys)
    if keys is None:
        raise ValueError(f"{path} is missing")
    if path.stat().st_mode & 0o077:
        raise ValueError(f"{path} can be read by others; set its mode to 0600")
    if not keys.primary or not keys.secondary:
        raise ValueError(f"{path} has an empty key")
    return keys.primary.encode(), keys.secondary.encode()
