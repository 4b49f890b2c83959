"""The alerts that were raised and the addresses that are still to be told: SQLite, so a restart loses nothing."""

import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import astuple, dataclass
from datetime import datetime
from pathlib import Path

from ml_platform.gateways.alerts.alert import Alert

DAY_SECONDS = 86_400
KEPT_DAYS = 90
GIVE_UP_DAYS = 3

LEASE_SECONDS = 120
"""A process that took an alert to deliver it and died leaves it to others after this time."""

_COLUMNS = "kind, key, title, what, evidence, link, at"
_SCHEMA = """
CREATE TABLE IF NOT EXISTS alerts (
    number INTEGER PRIMARY KEY AUTOINCREMENT, kind TEXT NOT NULL, key TEXT NOT NULL UNIQUE, title TEXT NOT NULL,
    what TEXT NOT NULL, evidence TEXT NOT NULL, link TEXT NOT NULL, at TEXT NOT NULL, kept REAL NOT NULL
);
CREATE TABLE IF NOT EXISTS untold (
    number INTEGER NOT NULL REFERENCES alerts, address TEXT NOT NULL, tries INTEGER NOT NULL DEFAULT 0,
    leased_until REAL NOT NULL DEFAULT 0, PRIMARY KEY (number, address)
);
"""


@dataclass(frozen=True)
class Untold:
    """An alert that was taken to tell it to an address."""

    number: int
    alert: Alert


class Ledger:
    """The file of alerts at `path`; it is made when the first one is kept. Several processes may use it at once."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def keep(self, alert: Alert, addresses: Sequence[str]) -> bool:
        """Keep `alert`, to be told to each of `addresses`; False, and nothing, when its key was kept before."""
        now = time.time()
        row = (*astuple(alert)[:-1], alert.at.isoformat(), now)
        with self._open() as db:
            _forget(db, now)
            kept = db.execute(
                f"INSERT INTO alerts ({_COLUMNS}, kept) VALUES (?, ?, ?, ?, ?, ?, ?, ?) "
                "ON CONFLICT (key) DO NOTHING RETURNING number",
                row,
            ).fetchone()
            if kept:
                db.executemany("INSERT INTO untold (number, address) VALUES (?, ?)", [(kept[0], a) for a in addresses])
        return kept is not None

    def take(self, address: str) -> Untold | None:
        """The next alert for `address`, leased to the caller; those that were tried least come first."""
        now = time.time()
        with self._open() as db:
            taken = db.execute(
                "UPDATE untold SET tries = tries + 1, leased_until = ? WHERE rowid = (SELECT rowid FROM untold "
                "WHERE address = ? AND leased_until < ? ORDER BY tries, number LIMIT 1) RETURNING number",
                (now + LEASE_SECONDS, address, now),
            ).fetchone()
            if taken is None:
                return None
            row = db.execute(f"SELECT {_COLUMNS} FROM alerts WHERE number = ?", taken).fetchone()
        return Untold(taken[0], _alert(row))

    def told(self, untold: Untold, address: str) -> None:
        """`address` took the alert."""
        with self._open() as db:
            db.execute("DELETE FROM untold WHERE number = ? AND address = ?", (untold.number, address))

    def give_back(self, untold: Untold, address: str) -> None:
        """`address` did not take the alert: it is for the next who asks."""
        with self._open() as db:
            db.execute("UPDATE untold SET leased_until = 0 WHERE number = ? AND address = ?", (untold.number, address))

    def latest(self, limit: int) -> list[Alert]:
        """The last alerts that were kept, newest first."""
        with self._open() as db:
            rows = db.execute(f"SELECT {_COLUMNS} FROM alerts ORDER BY number DESC LIMIT ?", (limit,)).fetchall()
        return [_alert(row) for row in rows]

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        db = sqlite3.connect(self._path, timeout=10)
        try:
            db.executescript(_SCHEMA)
            with db:
                yield db
        finally:
            db.close()


def _forget(db: sqlite3.Connection, now: float) -> None:
    old = "SELECT number FROM alerts WHERE kept < ?"
    db.execute(f"DELETE FROM untold WHERE number IN ({old})", (now - GIVE_UP_DAYS * DAY_SECONDS,))
    db.execute("DELETE FROM alerts WHERE kept < ?", (now - KEPT_DAYS * DAY_SECONDS,))


def _alert(row: Sequence[str]) -> Alert:
    kind, key, title, what, evidence, link, at = row
    return Alert(kind, key, title, what, evidence, link, datetime.fromisoformat(at))  # pyright: ignore[reportArgumentType]
