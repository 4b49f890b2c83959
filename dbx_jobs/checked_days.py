"""Which days of a table are to be checked, and which of them are not there."""

from collections.abc import Iterable

from dbx_jobs.contract import Days
from dbx_jobs.days import each_day
from dbx_jobs.errors import DataError


def checked_days(held: Iterable[str], first: str | None, last: str | None) -> tuple[list[str], list[str]]:
    """The days to evaluate, and those asked for that the table does not hold, of the days from `first` to `last`.

    One end alone goes with the table's own; with neither, all `held` days are evaluated. Raises DataError where no day
    is left, since nothing would then be checked.
    """
    present = set(held)
    wanted = sorted(present)
    if first or last:
        first, last = first or min(present, default=None), last or max(present, default=None)
        wanted = each_day(Days(first, last)) if first and last and first <= last else []
    if not wanted:
        raise DataError("it holds no such day at all")
    return [day for day in wanted if day in present], [day for day in wanted if day not in present]
