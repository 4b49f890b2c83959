"""From the wall clock of a time zone to UTC, across both clock changes."""

from datetime import UTC, date, datetime, timedelta
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from dbx_jobs.contract import EventTime
from dbx_jobs.errors import DataError
from dbx_jobs.values import Unfit


class Instants(NamedTuple):
    """The UTC instants of one wall-clock time: two in the hour that autumn repeats, else twice the same."""

    earlier: datetime
    later: datetime


def day_of(parts: tuple[Any, ...]) -> date | Unfit:
    """The date that one date column, or year, month and day of month, give."""
    if None in parts:
        return Unfit("gives no date, since a part of it is empty")
    if isinstance(parts[0], date):
        return parts[0]
    try:
        return date(*parts)
    except (ValueError, OverflowError):
        return Unfit(f"gives no date: {'-'.join(map(str, parts))}")


class Clock(dict[tuple[Any, ...], "Instants | Unfit"]):
    """(parts of the date..., time of day) -> its instants, or Unfit. Each wall-clock time is worked out once."""

    def __init__(self, event_time: EventTime) -> None:
        super().__init__()
        self._hhmm = event_time.time_format == "hhmm"
        try:
            self._zone = ZoneInfo(event_time.timezone)
        except (ZoneInfoNotFoundError, ValueError) as error:
            raise DataError(
                f"event_time.timezone {event_time.timezone!r} is no time zone; use one like Europe/Berlin"
            ) from error

    def __missing__(self, key: tuple[Any, ...]) -> Instants | Unfit:
        value = self[key] = self._instants(day_of(key[:-1]), key[-1])
        return value

    def _instants(self, day: date | Unfit, time: int | None) -> Instants | Unfit:
        if isinstance(day, Unfit):
            return day
        if time is None:
            return Unfit("is empty, so the row has no event time")
        hour, minute = divmod(time, 100) if self._hhmm else (time, 0)
        if not (0 <= hour < 24 and 0 <= minute < 60 or (hour, minute) == (24, 0)):
            return Unfit(f"is {time}, no time of day as {'hhmm' if self._hhmm else 'hour'}")
        local = datetime(day.year, day.month, day.day) + timedelta(hours=hour, minutes=minute)
        first, second = (local.replace(tzinfo=self._zone, fold=fold).astimezone(UTC) for fold in (0, 1))
        if first.astimezone(self._zone).replace(tzinfo=None) != local:
            return Unfit(f"{local:%Y-%m-%d %H:%M} does not exist in {self._zone.key}: the clocks went forward over it")
        return Instants(first, second)
