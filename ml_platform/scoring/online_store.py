"""Reads online stores: a SQLite file on this machine (file://) or a hash in Redis (redis://, rediss://)."""

import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import unquote, urlsplit

from dbx_jobs.online_contract import redis_key
from dbx_jobs.redis_login import log_in_again, login_of

TIMEOUT_SECONDS = 0.5


class StoreUnreachable(Exception):
    """A store does not answer; the message says why."""


class OnlineStore(Protocol):
    """The rows of one product."""

    async def get(self, names: Sequence[str]) -> list[str | None]:
        """The rows of these names as they stand at one instant, None where there is none; raises StoreUnreachable."""
        ...


def open_store(uri: str, product: str) -> OnlineStore:
    """The store of `product` at `uri`; raises ValueError for another kind of URI."""
    parts = urlsplit(uri)
    if parts.scheme == "file":
        return SqliteStore(Path(unquote(parts.path), f"{product}.db"))
    if parts.scheme in ("redis", "rediss"):
        return RedisStore(uri, product)
    raise ValueError(f"the online store {uri!r} is neither file:// (SQLite, on a disk) nor redis:// nor rediss://")


class SqliteStore:
    """A file that a job replaces the rows of. It is read on the event loop: a row takes a few microseconds."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._connection: sqlite3.Connection | None = None
        self._inode = 0

    async def get(self, names: Sequence[str]) -> list[str | None]:
        """See OnlineStore.get."""
        try:
            connection = self._connected()
            if connection is None:
                return [None] * len(names)
            marks = ",".join("?" * len(names))
            found = dict(connection.execute(f"SELECT name, value FROM online WHERE name IN ({marks})", names))
        except (OSError, sqlite3.Error) as error:
            self._connection = None
            raise StoreUnreachable(f"{self._path}: {error}") from error
        return [found.get(name) for name in names]

    def _connected(self) -> sqlite3.Connection | None:
        try:
            inode = self._path.stat().st_ino
        except FileNotFoundError:
            return None
        if self._connection is None or inode != self._inode:
            uri = f"{self._path.as_uri()}?mode=ro"
            self._connection = sqlite3.connect(uri, uri=True, timeout=TIMEOUT_SECONDS, check_same_thread=False)
            self._inode = inode
        return self._connection


class RedisStore:
    """A hash that a job replaces."""

    def __init__(self, uri: str, product: str) -> None:
        from redis.asyncio import Redis

        self._redis = Redis.from_url(
            uri,
            **login_of(uri),
            decode_responses=True,
            socket_timeout=TIMEOUT_SECONDS,
            socket_connect_timeout=TIMEOUT_SECONDS,
        )
        log_in_again(self._redis)
        self._key, self._place = redis_key(product), urlsplit(uri).hostname

    async def get(self, names: Sequence[str]) -> list[str | None]:
        """See OnlineStore.get."""
        from redis.exceptions import RedisError

        try:
            found: Any = await self._redis.hmget(self._key, list(names))
        except (OSError, RedisError) as error:
            raise StoreUnreachable(f"Redis at {self._place}: {error}") from error
        return found
