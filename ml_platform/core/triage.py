"""Is the data broken? Failed checks, missing days, faulty rows and columns that cannot be what they were."""

from collections.abc import Iterator, Sequence
from datetime import date, timedelta
from itertools import takewhile

from ml_platform.core.observations import ColumnCells, Observations, Source, SourceDay
from ml_platform.core.product import RetrainingSpec
from ml_platform.core.signals import Signal

MIN_ROWS = 100
"""Of a column on a day; fewer prove nothing about it."""
ALL = 0.99
"""A column is missing when this share of its rows is."""
USUAL = 0.5
"""A cell or a gap that holds more of the baseline than this is nothing new."""
SHARED = 0.02
"""The least overlap of two histograms that have anything in common."""
SPREAD = 0.9
"""A day whose largest cell holds more than this was constant by nature, as the day of the week is."""
MIN_EARLIER = 3
SELDOM = 0.9
"""A column that is missing in more of the baseline than this may be missing for weeks."""
SELDOM_DAYS = 7
"""One that is missing usually, yet in less, has days without a value (in 2013 no gusts for up to four), not so many."""


def broken(seen: Observations, policy: RetrainingSpec) -> list[Signal]:
    """Every sign of broken data that stands: `fault` forbids training and alarms; `doubt` only holds training back.

    A source's fault stands until the day is attempted again and passes. A column's stands while it is found on one of
    the last `fault_days` days.
    """
    found = [signal for source in seen.sources for signal in _attempts(source, policy)]
    found += [signal for source in seen.sources for signal in _absent(source, seen)]
    latched = _latched(seen)
    for cells in seen.drift:
        if signal := _missing(cells, policy) or _concentrated(cells, policy, cells.column in latched):
            found.append(signal)
    return found


def _attempts(source: Source, policy: RetrainingSpec) -> Iterator[Signal]:
    for day, attempt in sorted(source.days.items()):
        if problem := _problem(source, day, attempt, policy):
            text = f"{source.name} of {day} {problem}"
            yield Signal("fault", source.name, text, alarm=True, rows=attempt.rows, days=[day])


def _problem(source: Source, day: str, attempt: SourceDay, policy: RetrainingSpec) -> str | None:
    if attempt.refused is not None:
        return f"was refused: {attempt.refused}"
    if attempt.failed_checks:
        return f"failed {', '.join(sorted(attempt.failed_checks))}"
    for count, what in ((attempt.quarantined, "in quarantine"), (attempt.duplicates, "duplicated")):
        share = count / (attempt.rows + count) if count else 0.0
        if share >= policy.max_faulty_share:
            return f"has {share:.0%} of its rows {what}, {policy.max_faulty_share:.0%} is the bound"
    others = [other.rows for key, other in source.days.items() if key != day and not other.refused]
    if not attempt.rows and len(others) >= MIN_EARLIER and min(others) > 0:
        return "has no rows, and every other day has some"
    return None


def _absent(source: Source, seen: Observations) -> Iterator[Signal]:
    """A source that stopped, or that lacks a day between others which another source has."""
    known = {day for other in seen.sources for day in other.days}
    asked = [_add(day.day, -1) for day in seen.performance if day.rows]  # a day's files come after its predictions
    leading = max([*known, *asked], default=None)
    if leading is None:
        return
    if not source.days:
        yield Signal("fault", source.name, f"{source.name} has no day at all; others reach {leading}", alarm=True)
        return
    first, newest = min(source.days), max(source.days)
    if newest < _add(leading, -max(1, source.late_days)):
        text = f"{source.name} stopped: its newest day is {newest}, and {leading} is due"
        yield Signal("fault", source.name, text, alarm=True, days=[_add(newest, 1), leading])
    for day in sorted(known - set(source.days)):
        if first < day < newest:
            yield Signal("fault", source.name, f"{source.name} lacks {day}", alarm=True, days=[day])


def _missing(cells: ColumnCells, policy: RetrainingSpec) -> Signal | None:
    usual = cells.expected[-1] / (sum(cells.expected) or 1)
    if usual > SELDOM:
        return None
    seldom = usual > USUAL
    looked_at = _judged(cells)[-(SELDOM_DAYS if seldom else policy.fault_days) :]
    days = [day for day in looked_at if _gap(cells, day) >= ALL]
    if not days or (seldom and len(days) < SELDOM_DAYS):
        return None
    share, rows = _gap(cells, days[-1]), sum(map(sum, (cells.daily[day] for day in days)))
    text = f"{cells.column} is missing in {share:.0%} of the rows from {days[0]} to {days[-1]}, {usual:.0%} before"
    return Signal("fault", cells.column, text, True, share, usual, ALL, rows=rows, days=_span(days), column=True)


def _concentrated(cells: ColumnCells, policy: RetrainingSpec, latched: bool) -> Signal | None:
    """A column that from one day on is all in one cell, or only in cells that the baseline hardly has.

    A season does that slowly; a new unit or a constant at once, after days that were spread and elsewhere. It takes
    `fault_days` days to be sure, since weather may jump for two; a fault once found stands until the column is well.
    """
    days = _judged(cells)
    odd = list(takewhile(lambda day: _odd(cells, day), reversed(days)))[::-1]
    if not odd or not (pooled := _odd_together(cells, odd)):
        return None
    earlier = days[: len(days) - len(odd)]
    jumped = len(earlier) >= MIN_EARLIER and all(_spread_elsewhere(cells.daily[day], pooled) for day in earlier)
    if not (jumped or latched):
        return None
    sure = latched or len(odd) >= policy.fault_days
    cell = cells.labels[max(range(len(pooled)), key=pooled.__getitem__)]
    share = max(pooled) / sum(pooled)
    text = f"{cells.column} changed at once on {odd[0]}: {share:.0%} of its rows are in one cell ({cell}) since"
    kind = "fault" if sure else "doubt"
    return Signal(kind, cells.column, text, sure, share, None, USUAL, rows=sum(pooled), days=_span(odd), column=True)


def _latched(seen: Observations) -> set[str]:
    """The columns that the latest decision before today found broken."""
    before = [past for past in seen.history if past.day < seen.as_of]
    return set(max(before, key=lambda past: past.day).broken_columns) if before else set()


def _judged(cells: ColumnCells) -> list[str]:
    return sorted(day for day, counts in cells.daily.items() if sum(counts) >= MIN_ROWS)


def _gap(cells: ColumnCells, day: str) -> float:
    return cells.daily[day][-1] / sum(cells.daily[day])


def _odd(cells: ColumnCells, day: str) -> bool:
    return _odd_together(cells, [day]) is not None


def _odd_together(cells: ColumnCells, days: Sequence[str]) -> list[int] | None:
    """The days' counts in sum, if they are all in one cell that is not usual or share nothing with the baseline."""
    pooled = [sum(counts) for counts in zip(*(cells.daily[day] for day in days), strict=True)]
    largest = max(range(len(pooled)), key=pooled.__getitem__)
    constant = pooled[largest] == sum(pooled) and largest != len(pooled) - 1
    usual = cells.expected[largest] > USUAL * sum(cells.expected)
    return pooled if (constant and not usual) or _overlap(pooled, cells.expected) < SHARED else None


def _spread_elsewhere(earlier: Sequence[int], now: Sequence[int]) -> bool:
    return max(earlier) <= SPREAD * sum(earlier) and _overlap(earlier, now) <= USUAL


def _overlap(counts: Sequence[int], others: Sequence[int]) -> float:
    n, m = sum(counts), sum(others)
    return sum(min(a / n, b / m) for a, b in zip(counts, others, strict=True)) if n and m else 1.0


def _span(days: Sequence[str]) -> list[str]:
    return sorted({days[0], days[-1]})


def _add(day: str, days: int) -> str:
    return (date.fromisoformat(day) + timedelta(days=days)).isoformat()
