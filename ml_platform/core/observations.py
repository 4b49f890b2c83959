"""What a retraining decision may know of a day: plain data that can be stored as JSON and judged again."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import Any

from ml_platform.core.drift import Comparison


@dataclass(frozen=True)
class SourceDay:
    """The last attempt at one day of a table; `refused` is the reason why the day was left as it was."""

    rows: int = 0
    quarantined: int = 0
    duplicates: int = 0
    failed_checks: list[str] = field(default_factory=list)
    """The ERROR checks that it failed."""
    refused: str | None = None


@dataclass(frozen=True)
class Source:
    """A daily table that training or scoring reads (`lake/weather`), with the attempts at the days of interest."""

    name: str
    late_days: int = 0
    days: dict[str, SourceDay] = field(default_factory=dict)


@dataclass(frozen=True)
class DayMetrics:
    """One day's predictions of one model version, by the columns of `monitoring/<product>/performance`."""

    day: str
    rows: int
    labelled: int
    final: bool
    metrics: dict[str, float | None]
    version: str | None = None
    """The version that answered all of the day's requests; None when there were several."""


@dataclass(frozen=True)
class Champion:
    """The version that serves. `trained_until` is the last day of its window, the holdout included.

    `holdout` has its metrics on each day of the holdout: a metric over all its days is not comparable with days, since
    the area under the curve of many days also ranks good days against bad ones.
    """

    version: str
    trained_until: str
    holdout: list[DayMetrics] = field(default_factory=list)
    importances: dict[str, float] = field(default_factory=dict)
    """By feature, in any unit: shares of their sum count, and what is below 0 is none."""


@dataclass(frozen=True)
class ColumnCells:
    """A column's counts in the cells of the champion's baseline: `expected` there, and of each day; the last cell is
    `missing`."""

    column: str
    labels: list[str]
    expected: list[int]
    daily: dict[str, list[int]]


@dataclass(frozen=True)
class PastDecision:
    """An earlier decision, and the columns that it found broken."""

    id: str
    day: str
    verdict: str
    broken_columns: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Observations:
    """All that a decision depends on, besides the policy. `as_of` is today; days are ISO text."""

    product: str
    as_of: str
    sources: list[Source] = field(default_factory=list)
    champion: Champion | None = None
    performance: list[DayMetrics] = field(default_factory=list)
    drift: list[ColumnCells] = field(default_factory=list)
    history: list[PastDecision] = field(default_factory=list)


METRIC_NAMES = ("roc_auc", "average_precision", "log_loss", "brier", "base_rate", "mean_prediction")


def day_metrics(row: Mapping[str, Any], version: str | None) -> DayMetrics:
    """A row of `monitoring/<product>/performance`, of a day that `version` answered."""
    metrics = {name: row[name] for name in METRIC_NAMES}
    return DayMetrics(str(row["day"]), row["rows"], row["labelled"], bool(row["final"]), metrics, version)


def by_column(daily: Mapping[str, Sequence[Comparison]], version: str) -> list[ColumnCells]:
    """The comparisons of days (`drift.comparisons`) with the baseline of `version`, column by column."""
    found: dict[str, ColumnCells] = {}
    for day, columns in sorted(daily.items()):
        for c in columns:
            if c.baseline_version == version:
                cells = found.setdefault(c.column, ColumnCells(c.column, list(c.labels), list(c.expected), {}))
                cells.daily[day] = list(c.actual)
    return list(found.values())


def mean_metric(days: Sequence[DayMetrics], name: str) -> float | None:
    """The mean of a metric over the days that have it, for sentences."""
    known = [value for day in days if (value := day.metrics.get(name)) is not None]
    return fmean(known) if known else None
