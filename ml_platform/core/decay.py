"""Has the champion got worse, or does it answer otherwise? Tests in which days, not rows, are the sample.

Rows of one day share weather and crowding, so a day is one observation: the latest `window_days` final days of the
champion are held against all its earlier ones out of sample, those of its holdout included. Both are days of one model
that it was not fitted on, so that without decay they are exchangeable.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from datetime import date, timedelta
from statistics import NormalDist, fmean, variance

from ml_platform.core.drift import PREDICTION, Comparison, psi, psi_noise
from ml_platform.core.observations import Champion, ColumnCells, DayMetrics, Observations
from ml_platform.core.product import RetrainingSpec
from ml_platform.core.signals import Signal

MIN_DAYS = 7
"""Fewer days on a side give no verdict."""
DAYS_PER_MONTH = 365.25 / 12
LARGER_IS_WORSE = {"roc_auc": False, "average_precision": False, "log_loss": True, "brier": True}


def level(policy: RetrainingSpec) -> float:
    """The p-value from which a signal alarms, so that all looks of a month give `false_alarms_per_month` in the mean.

    Bonferroni over the looks of a month and the signals of a look (each metric, and the prediction): it holds whatever
    the dependence of signals and of windows that overlap, and the true rate is therefore lower.
    """
    looks = DAYS_PER_MONTH / policy.review_days
    return policy.false_alarms_per_month / looks / (len(policy.metrics) + 1)


def windows(seen: Observations, policy: RetrainingSpec) -> tuple[list[DayMetrics], list[DayMetrics]]:
    """The champion's earlier days out of sample, and its latest `window_days`; only days whose labels are final."""
    champion = seen.champion
    if champion is None:
        return [], []
    first_served = _add(champion.trained_until, 1)
    served = [
        day
        for day in seen.performance
        if day.final and day.version == champion.version and first_served <= day.day <= seen.as_of
    ]
    holdout = [day for day in champion.holdout if day.final and day.day < first_served]
    if not served:
        return sorted(holdout, key=_day), []
    start = _add(max(day.day for day in served), 1 - policy.window_days)
    earlier = [day for day in served if day.day < start]
    return sorted([*holdout, *earlier], key=_day), sorted((day for day in served if day.day >= start), key=_day)


def decayed(before: Sequence[DayMetrics], now: Sequence[DayMetrics], policy: RetrainingSpec) -> list[Signal]:
    """A one-sided test of each declared metric; none when a side has too few days."""
    return [signal for name in policy.metrics if (signal := _decay(name, before, now, policy))]


def drifted(
    champion: Champion,
    columns: Sequence[ColumnCells],
    before: Sequence[DayMetrics],
    now: Sequence[DayMetrics],
    policy: RetrainingSpec,
) -> list[Signal]:
    """How far prediction and features are from the baseline over the window; what is stable is left out, the
    prediction apart.

    The prediction's index alone proves nothing, since a stormy week moves it: its mean must differ by days as well.
    """
    found, days = [], {day.day for day in now}
    for cells in columns:
        counts = [cells.daily[day] for day in sorted(days & set(cells.daily))]
        if len(counts) < MIN_DAYS or not sum(map(sum, counts)) or not sum(cells.expected):
            continue
        pooled = [sum(cell) for cell in zip(*counts, strict=True)]
        comparison = Comparison(cells.column, tuple(cells.labels), tuple(cells.expected), tuple(pooled))
        if cells.column == PREDICTION:
            found += [signal] if (signal := _prediction(comparison, before, now, policy)) else []
        else:
            found += [signal] if (signal := _feature(comparison, champion, now, policy)) else []
    return sorted(found, key=lambda s: (s.kind != "prediction drift", -share(champion, s.name), s.name))


def share(champion: Champion, column: str) -> float:
    """A feature's part of all importance, 0 to 1; 0 when it is not known."""
    total = math.fsum(max(0.0, value) for value in champion.importances.values())
    return max(0.0, champion.importances.get(column, 0.0)) / total if total else 0.0


def compare(before: Sequence[float], now: Sequence[float]) -> float | None:
    """P(T <= t), t being Welch's statistic of the mean of `now` less that of `before`; None without a verdict.

    Welch, Biometrika 34, 1947, with the degrees of freedom of Satterthwaite. Days that resemble the day before count
    for less: n becomes n (1 - r) / (1 + r), r the lag-1 correlation of both sides where it is above 0 (Bartlett 1935;
    Zwiers and von Storch, Journal of Climate 8, 1995).
    """
    if min(len(before), len(now)) < MIN_DAYS:
        return None
    r = max(0.0, _lag_1(before, now))
    shrink = (1 - r) / (1 + r)
    n, m = max(2.0, len(before) * shrink), max(2.0, len(now) * shrink)
    a, b = variance(before) / n, variance(now) / m
    if a + b <= 0:
        return None
    t = (fmean(now) - fmean(before)) / math.sqrt(a + b)
    freedom = (a + b) ** 2 / (a**2 / (n - 1) + b**2 / (m - 1))
    return _student(t, freedom)


def relative(name: str, day: DayMetrics) -> float | None:
    """A day's metric freed of its base rate b, so that a day with more positives is not worse for it.

    Log loss as a part of the entropy of b (normalized entropy: He et al., ADKDD 2014), Brier's score of b (1 - b),
    average precision as its way from b to 1; the ROC AUC does not depend on b. None when it cannot be computed.
    """
    value, b = day.metrics.get(name), day.metrics.get("base_rate")
    if value is None or not math.isfinite(value):
        return None
    if name == "roc_auc":
        return value
    return _FREED[name](value, b) if b is not None and 0 < b < 1 else None


_FREED: Mapping[str, Callable[[float, float], float]] = {
    "log_loss": lambda value, b: value / -(b * math.log(b) + (1 - b) * math.log(1 - b)),
    "brier": lambda value, b: value / (b * (1 - b)),
    "average_precision": lambda value, b: (value - b) / (1 - b),
}


def _decay(name: str, before: Sequence[DayMetrics], now: Sequence[DayMetrics], policy: RetrainingSpec) -> Signal | None:
    old, new = ([v for day in days if (v := relative(name, day)) is not None] for days in (before, now))
    below = compare(old, new)
    if below is None:
        return None
    p = 1 - below if LARGER_IS_WORSE[name] else below
    loss = (fmean(new) - fmean(old)) * (1 if LARGER_IS_WORSE[name] else -1)
    alarm = loss >= policy.min_decay and p <= level(policy)
    what = name if name == "roc_auc" else f"{name}, relative to the base rate,"
    text = (
        f"{what} is {fmean(new):.3f} in the mean of {len(new)} days, {fmean(old):.3f} over {len(old)} days before: "
        f"{'worse' if loss > 0 else 'better'} by {abs(loss):.3f}, p {p:.2g}"
    )
    return Signal(
        *("decay", name, text, alarm, fmean(new), fmean(old), policy.min_decay, p, level(policy)),
        rows=sum(day.labelled for day in now),
        days=_span(now),
    )


def _prediction(
    comparison: Comparison, before: Sequence[DayMetrics], now: Sequence[DayMetrics], policy: RetrainingSpec
) -> Signal | None:
    below = compare(_logits(before), _logits(now))
    if below is None:
        return None
    p = 2 * min(below, 1 - below)
    excess = _excess(comparison)
    alarm = excess >= policy.prediction_psi and p <= level(policy)
    text = f"the prediction's PSI is {excess:.2f} above its noise, p {p:.2g} by the days' means"
    return Signal(
        *("prediction drift", PREDICTION, text, alarm, excess, None, policy.prediction_psi, p, level(policy)),
        rows=comparison.rows,
        days=_span(now),
    )


def _feature(
    comparison: Comparison, champion: Champion, now: Sequence[DayMetrics], policy: RetrainingSpec
) -> Signal | None:
    excess, weight = _excess(comparison), share(champion, comparison.column)
    if excess < policy.feature_psi:
        return None
    text = f"{comparison.column} has PSI {excess:.2f} above its noise and {weight:.0%} of the importance"
    return Signal(
        *("feature drift", comparison.column, text, True, excess, None, policy.feature_psi),
        rows=comparison.rows,
        days=_span(now),
        column=True,
    )


def _excess(comparison: Comparison) -> float:
    expected, actual = comparison.expected, comparison.actual
    return max(0.0, psi(expected, actual) - psi_noise(expected, actual))


def _logits(days: Sequence[DayMetrics]) -> list[float]:
    means = [day.metrics.get("mean_prediction") for day in days]
    return [math.log(p / (1 - p)) for p in means if p is not None and 0 < p < 1]


def _lag_1(*sides: Sequence[float]) -> float:
    """The correlation of neighbours within each side, around the side's own mean."""
    centred = [[value - fmean(side) for value in side] for side in sides]
    total = math.fsum(v * v for side in centred for v in side)
    return math.fsum(a * b for side in centred for a, b in zip(side, side[1:], strict=False)) / total if total else 0.0


def _student(t: float, freedom: float) -> float:
    if freedom > 10_000:
        return NormalDist().cdf(t)
    from scipy.special import stdtr

    return float(stdtr(freedom, t))


def _day(day: DayMetrics) -> str:
    return day.day


def _span(days: Sequence[DayMetrics]) -> list[str]:
    return sorted({days[0].day, days[-1].day}) if days else []


def _add(day: str, days: int) -> str:
    return (date.fromisoformat(day) + timedelta(days=days)).isoformat()
