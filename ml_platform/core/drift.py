"""Drift statistics on histograms of a baseline and a current window -> scores and verdicts."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import Any, Literal

from ml_platform.core.product_monitors import DriftSpec

Verdict = Literal["stable", "warn", "alert", "too few rows"]

PREDICTION = "prediction"
"""The name under which the model's output is profiled, beside its features."""

HALF_ROW = 0.5


@dataclass(frozen=True)
class Comparison:
    """One column's counts in the same cells: `expected` of the baseline, `actual` of the current window.

    Cells are bins or categories, then `other` (categorical columns only), then `missing`.
    """

    column: str
    labels: tuple[str, ...]
    expected: tuple[int, ...]
    actual: tuple[int, ...]
    baseline_version: str = ""

    @property
    def rows(self) -> int:
        """Rows of the current window."""
        return sum(self.actual)


@dataclass(frozen=True)
class ColumnDrift:
    """How far one column's current window is from the baseline.

    `noise` is what `psi` would be on average by sampling alone; the verdict judges `excess`, what lies above it.
    `js` is the Jensen-Shannon distance. All three are None when there are too few rows.
    """

    column: str
    rows: int
    verdict: Verdict
    psi: float | None = None
    noise: float | None = None
    js: float | None = None

    @property
    def excess(self) -> float | None:
        """PSI above the sampling noise, never below 0."""
        return None if self.psi is None or self.noise is None else max(0.0, self.psi - self.noise)


def psi(expected: Sequence[int], actual: Sequence[int]) -> float:
    """The population stability index, sum over cells of (q - p) ln(q / p), p and q the shares of each side.

    Siddiqi, Credit Risk Scorecards (2006); it is Jeffreys' divergence of the two. A cell that is empty on one side
    counts as half a row there, so that the index stays finite; one that is empty on both adds nothing. Raises
    ValueError for an empty side or unequal cells.
    """
    p, q = _shares(expected, actual)
    return math.fsum((b - a) * math.log(b / a) for a, b in zip(p, q, strict=True))


def psi_noise(expected: Sequence[int], actual: Sequence[int]) -> float:
    """What PSI is on average when both sides are samples of one distribution: (cells - 1) (1/n + 1/m).

    Yurdakul and Naranjo, Statistical properties of the population stability index, Journal of Risk Model Validation
    14(3), 2020. Cells that are empty on both sides do not count. Where many cells hold less than about five rows the
    true mean is lower, so that drift is then understated.
    """
    occupied = sum(1 for a, b in zip(expected, actual, strict=True) if a or b)
    return (occupied - 1) * (1 / sum(expected) + 1 / sum(actual))


def jensen_shannon(expected: Sequence[int], actual: Sequence[int]) -> float:
    """The Jensen-Shannon distance, 0 (equal) to 1 (disjoint): the root of the divergence with logarithms of base 2.

    Lin, IEEE Transactions on Information Theory 37(1), 1991; Endres and Schindelin, the same 49(7), 2003, for the
    root being a metric. Needs no smoothing. Equals scipy.spatial.distance.jensenshannon(base=2).
    """
    _check(expected, actual)
    n, m = sum(expected), sum(actual)
    terms = []
    for a, b in zip(expected, actual, strict=True):
        p, q = a / n, b / m
        middle = (p + q) / 2
        terms += [share * math.log2(share / middle) / 2 for share in (p, q) if share]
    return math.sqrt(max(0.0, math.fsum(terms)))


def judge(comparison: Comparison, policy: DriftSpec) -> ColumnDrift:
    """Score one column and hold it against the product's thresholds; few rows give no verdict."""
    column, expected, actual = comparison.column, comparison.expected, comparison.actual
    if comparison.rows < policy.min_rows or sum(expected) < policy.min_rows:
        return ColumnDrift(column, comparison.rows, "too few rows")
    score, noise = psi(expected, actual), psi_noise(expected, actual)
    excess = score - noise
    verdict: Verdict = "alert" if excess >= policy.psi_alert else "warn" if excess >= policy.psi_warn else "stable"
    return ColumnDrift(column, comparison.rows, verdict, score, noise, jensen_shannon(expected, actual))


def judge_all(comparisons: Iterable[Comparison], policy: DriftSpec) -> list[ColumnDrift]:
    """Every column judged, the worst first."""
    return sorted((judge(c, policy) for c in comparisons), key=lambda d: (-(d.excess or 0.0), d.column))


def comparisons(rows: Iterable[Mapping[str, Any]]) -> dict[str, list[Comparison]]:
    """The comparisons of each day, by partition key, from rows of the table `monitoring/<product>/drift`.

    Rows may come in any order; each has day, column, cell, label, count, baseline_count and baseline_version.
    """
    cells: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for row in rows:
        day = row["day"].isoformat() if isinstance(row["day"], date) else str(row["day"])
        cells.setdefault((day, row["column"]), []).append(row)
    days: dict[str, list[Comparison]] = {}
    for (day, column), found in sorted(cells.items()):
        ordered = sorted(found, key=lambda row: row["cell"])
        days.setdefault(day, []).append(
            Comparison(
                column=column,
                labels=tuple(row["label"] for row in ordered),
                expected=tuple(row["baseline_count"] for row in ordered),
                actual=tuple(row["count"] for row in ordered),
                baseline_version=ordered[0]["baseline_version"],
            )
        )
    return days


def windows(daily: Mapping[str, Sequence[Comparison]], length: int) -> dict[str, list[Comparison]]:
    """Each day's comparisons over the `length` days that end with it, from those of single days by partition key.

    A single day differs from a training window by its weekday and its weather alone. Days that were counted in the bins
    of another baseline are left out.
    """
    joined: dict[str, list[Comparison]] = {}
    for day, columns in daily.items():
        first = (date.fromisoformat(day) - timedelta(days=length - 1)).isoformat()
        recent = [c for other, found in daily.items() if first <= other <= day for c in found]
        joined[day] = [_sum(column, recent) for column in columns]
    return joined


def complete(daily: Mapping[str, Sequence[Comparison]], day: str, length: int) -> bool:
    """Whether all `length` days that end with `day` were counted: only then is its window fit for a verdict."""
    first = (date.fromisoformat(day) - timedelta(days=length - 1)).isoformat()
    return sum(first <= other <= day for other, found in daily.items() if found) == length


def _sum(last: Comparison, recent: Iterable[Comparison]) -> Comparison:
    same = [c for c in recent if (c.column, c.baseline_version) == (last.column, last.baseline_version)]
    return replace(last, actual=tuple(sum(counts) for counts in zip(*(c.actual for c in same), strict=True)))


def _shares(expected: Sequence[int], actual: Sequence[int]) -> tuple[list[float], list[float]]:
    _check(expected, actual)
    pairs = [(a or HALF_ROW, b or HALF_ROW) for a, b in zip(expected, actual, strict=True) if a or b]
    n, m = sum(a for a, _ in pairs), sum(b for _, b in pairs)
    return [a / n for a, _ in pairs], [b / m for _, b in pairs]


def _check(expected: Sequence[int], actual: Sequence[int]) -> None:
    if len(expected) != len(actual):
        raise ValueError(f"histograms must have equal cells, got {len(expected)} and {len(actual)}")
    if not sum(expected) or not sum(actual):
        raise ValueError("an empty histogram has no distribution; ask for a verdict with `judge`, which says so")
