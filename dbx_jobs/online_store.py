"""Writes online stores: a SQLite file on this machine (file://) or a hash in Redis (redis://, rediss://)."""

import os
import sqlite3
from collections.abc import Iterable
from contextlib import closing
from itertools import islice
from pathlib import Path
from urllib.parse import unquote, urlsplit

from dbx_jobs.errors import DataError
from dbx_jobs.online_contract import PASSWORD_VARIABLE, redis_key
from dbx_jobs.redis_login import log_in_again, login_of

ROWS_AT_ONCE = 5_000

Row = tuple[str, str]


def replace_rows(uri: str, product: str, rows: Iterable[Row]) -> None:
    """Make the store of `product` hold `rows`: readers see all of the old ones or all of the new. Raises DataError."""
    scheme = urlsplit(uri).scheme
    if scheme == "file":
        if "DATABRICKS_RUNTIME_VERSION" in os.environ:
            raise DataError(
                f"online store {uri!r}: nobody else reads a cluster's disk; set the store's URI to rediss://"
            )
        _replace_in_sqlite(Path(unquote(urlsplit(uri).path), f"{product}.db"), rows)
    elif scheme in ("redis", "rediss"):
        _replace_in_redis(uri, product, rows)
    else:
        raise DataError(f"online store {uri!r}: give file:// (SQLite, on a disk), redis:// or rediss://")


def _replace_in_sqlite(path: Path, rows: Iterable[Row]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with closing(sqlite3.connect(path, isolation_level=None, timeout=60)) as store:
        store.execute("PRAGMA journal_mode=WAL")  # whoever reads waits for no writer
        store.execute("BEGIN IMMEDIATE")
        store.execute("CREATE TABLE IF NOT EXISTS online (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID")
        store.execute("DELETE FROM online")
        store.executemany("INSERT INTO online VALUES (?, ?)", rows)
        store.execute("COMMIT")


def _replace_in_redis(uri: str, product: str, rows: Iterable[Row]) -> None:
    from redis import Redis
    from redis.exceptions import AuthenticationError

    key, new = redis_key(product), f"{redis_key(product)}:new"
    with Redis.from_url(uri, **login_of(uri)) as store:
        log_in_again(store)
        try:
            store.delete(new)
        except AuthenticationError as error:
            raise DataError(
                f"online store {uri!r} does not let this program in: {error}. Set {PASSWORD_VARIABLE} where it runs, "
                "on Databricks by ML_PLATFORM_DATABRICKS_ONLINE_STORE_SECRET"
            ) from error
        remaining = iter(rows)
        while some := list(islice(remaining, ROWS_AT_ONCE)):
            store.hset(new, items=[text for row in some for text in row])
        store.rename(new, key)
