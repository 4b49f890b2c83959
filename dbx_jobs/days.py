"""Ranges of partition keys."""

from collections.abc import Iterator
from datetime import date, timedelta

from dbx_jobs.contract import Days
from dbx_jobs.errors import DataError


def each_day(days: Days) -> list[str]:
    """All days of the closed range; raises DataError where it is none."""
    first, last = _date(days.start), _date(days.end)
    if last < first:
        raise DataError(f"the range of days {days.start} to {days.end} ends before it starts")
    return [(first + timedelta(days=n)).isoformat() for n in range((last - first).days + 1)]


def chunks(days: Days, length: int) -> Iterator[Days]:
    """The range in consecutive ranges of at most `length` days."""
    every = each_day(days)
    for start in range(0, len(every), length):
        part = every[start : start + length]
        yield Days(part[0], part[-1])


def earlier(day: str, days: int) -> str:
    """The day `days` days before `day`."""
    return (_date(day) - timedelta(days=days)).isoformat()


def _date(text: str) -> date:
    try:
        day = date.fromisoformat(text)
    except ValueError:
        day = None
    if day is None or day.isoformat() != text:
        raise DataError(f"{text!r} is no day; write YYYY-MM-DD")
    return day
