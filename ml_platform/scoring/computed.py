"""Computes columns of a request by the SQL expressions of its feature table, in SQLite."""

import sqlite3
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

FUNCTIONS = ("dayofweek", "abs", "coalesce", "nullif", "round")
"""What an expression may call: functions that mean the same to Spark."""

MAX_EXPRESSION = 2_000


class Computed:
    """The columns `names` of a request.

    The expressions come from a store that others may write to: they see nothing but the request, and can neither loop
    nor call anything else. Raises ValueError that names an expression which SQLite refuses.
    """

    def __init__(self, expressions: Mapping[str, str], columns: Sequence[str]) -> None:
        self.names = tuple(expressions)
        self._sqlite = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
        self._sqlite.create_function("dayofweek", 1, _dayofweek, deterministic=True)
        self._sqlite.set_authorizer(_may)
        given = f"FROM (SELECT {', '.join(f'? AS {_quoted(name)}' for name in columns)})"
        for name, expression in expressions.items():
            if len(expression) > MAX_EXPRESSION:
                raise ValueError(f"the expression of {name!r} is longer than {MAX_EXPRESSION} characters")
            try:
                self._sqlite.execute(f"SELECT {expression} {given}", [None] * len(columns))
            except sqlite3.Error as error:
                raise ValueError(f"the expression of {name!r} cannot be computed from a request: {error}") from error
        self._query = f"SELECT {', '.join(expressions.values()) or 'NULL'} {given}"

    def of(self, values: Sequence[Any]) -> tuple[Any, ...]:
        """The computed columns of a request with the `values` of its columns."""
        return self._sqlite.execute(self._query, values).fetchone()


def _dayofweek(day: str | None) -> int | None:
    # As Spark counts: 1 is Sunday.
    return None if day is None else date.fromisoformat(day).isoweekday() % 7 + 1


def _may(action: int, _table: str | None, name: str | None, *_: str | None) -> int:
    calls = action == sqlite3.SQLITE_FUNCTION and name in FUNCTIONS
    return sqlite3.SQLITE_OK if calls or action in (sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ) else sqlite3.SQLITE_DENY


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
