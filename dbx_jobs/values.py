"""The strict reading of one CSV cell as a declared type."""

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

from dbx_jobs.contract import Column

SHOWN = 80
"""Characters of an unfit value that a reason repeats."""

_WHOLE = re.compile(r"[+-]?[0-9]+")
_NUMBER = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?")
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_TIMESTAMP = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,6})?)?(Z|[+-][0-9]{2}:[0-9]{2})?"
)


@dataclass(frozen=True)
class Unfit:
    """A cell that is not of its column's type, with the reason."""

    reason: str


def _whole(bits: int) -> Callable[[str], int]:
    bound = 2 ** (bits - 1)

    def parse(text: str) -> int:
        if not _WHOLE.fullmatch(text):
            raise ValueError("a whole number")
        if not -bound <= int(text) < bound:
            raise ValueError(f"a whole number of {bits} bits")
        return int(text)

    return parse


def _double(text: str) -> float:
    number = float(text) if _NUMBER.fullmatch(text) else math.inf
    if math.isinf(number):
        raise ValueError("a finite number")
    return number + 0.0  # -0.0 becomes 0.0: equal values have one representation and one fingerprint


def _boolean(text: str) -> bool:
    if text.lower() not in ("true", "false"):
        raise ValueError("true or false")
    return text.lower() == "true"


def _date(text: str) -> date:
    try:
        if _DATE.fullmatch(text):
            return date.fromisoformat(text)
    except ValueError:
        pass
    raise ValueError("a date, YYYY-MM-DD")


def _timestamp(text: str) -> datetime:
    """The instant; a time without an offset is UTC."""
    try:
        if _TIMESTAMP.fullmatch(text):
            instant = datetime.fromisoformat(text)
            return instant.astimezone(UTC) if instant.tzinfo else instant.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        pass
    raise ValueError("an ISO 8601 timestamp")


_PARSERS: dict[str, Callable[[str], Any]] = {
    "string": str,
    "int": _whole(32),
    "bigint": _whole(64),
    "double": _double,
    "boolean": _boolean,
    "date": _date,
    "timestamp": _timestamp,
}


class CellReader(dict[str, Any]):
    """Text of a cell -> its value, or Unfit. Each different text is parsed once: columns repeat themselves."""

    def __init__(self, column: Column, required: bool) -> None:
        super().__init__()
        self._parse = _PARSERS[column.type]
        empty = Unfit("is empty, but every row needs a value") if required or not column.nullable else None
        self.any_unfit = False
        self[""] = empty
        self._required = empty is not None

    def __missing__(self, text: str) -> Any:
        try:
            value = self._parse(text)
        except ValueError as error:
            value = Unfit(f"is {text[:SHOWN]!r}, not {error}")
            self.any_unfit = True
        self[text] = value
        return value

    def read(self, cells: tuple[str, ...]) -> list[Any]:
        """The values of a whole column."""
        self.any_unfit |= self._required and "" in cells
        return [self[cell] for cell in cells]
