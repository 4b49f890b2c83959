"""A day's measured performance held against the product's floors and ceilings -> a verdict."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from ml_platform.core.product_monitors import PerformanceSpec

Verdict = Literal["good", "warn", "alert", "too few labels", "provisional"]


@dataclass(frozen=True)
class Breach:
    """A metric on the wrong side of its bound; `certain` when its whole interval is."""

    metric: str
    value: float | None
    bound: float
    certain: bool

    def __str__(self) -> str:
        if self.value is None:
            return f"{self.metric} is missing; its bound is {self.bound:g}"
        return f"{self.metric} {self.value:.4g} is beyond {self.bound:g}" + (
            "" if self.certain else ", within its interval"
        )


@dataclass(frozen=True)
class DayVerdict:
    """What a day's labels say: alert when a breach is certain, warn when one may be chance or a metric is missing."""

    verdict: Verdict
    labelled: int
    breaches: tuple[Breach, ...] = ()


def judge_day(row: Mapping[str, Any], policy: PerformanceSpec) -> DayVerdict:
    """Judge one row of `monitoring/<product>/performance`; a provisional day and few labels give no verdict."""
    labelled = row["labelled"]
    if not row["final"]:
        return DayVerdict("provisional", labelled)
    if labelled < policy.min_labels:
        return DayVerdict("too few labels", labelled)
    low = [_below(row, metric, floor) for metric, floor in sorted(policy.floors.items())]
    high = [_above(row, metric, ceiling) for metric, ceiling in sorted(policy.ceilings.items())]
    breaches = tuple(breach for breach in low + high if breach is not None)
    if not breaches:
        return DayVerdict("good", labelled)
    return DayVerdict("alert" if any(b.certain for b in breaches) else "warn", labelled, breaches)


def _below(row: Mapping[str, Any], metric: str, floor: float) -> Breach | None:
    value, upper = row[metric], row[f"{metric}_high"]
    if value is None:
        return Breach(metric, None, floor, certain=False)
    return Breach(metric, value, floor, upper is not None and upper < floor) if value < floor else None


def _above(row: Mapping[str, Any], metric: str, ceiling: float) -> Breach | None:
    value, lower = row[metric], row[f"{metric}_low"]
    if value is None:
        return Breach(metric, None, ceiling, certain=False)
    return Breach(metric, value, ceiling, lower is not None and lower > ceiling) if value > ceiling else None
