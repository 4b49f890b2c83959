"""The metrics of a binary classifier, their intervals and their paired differences, resampled by day.

Rows of one day share weather and crowding, so whole days are drawn, not rows (cluster bootstrap: Davison and Hinkley,
Bootstrap Methods and their Application, 1997, section 3.8; percentile intervals as in scipy.stats.bootstrap). Drawing a
day k times is giving its rows weight k, so each metric is written for weights and scores are sorted only once.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ml_platform.core.gate import Direction, Interval
from ml_platform.errors import SpecError

RESAMPLES = 1000
CLIP = 1e-7
"""Probabilities are kept this far from 0 and 1 in the log loss, float32's own resolution."""


@dataclass(frozen=True)
class Scored:
    """Labels of 0 and 1 [n] and probabilities [n] of the same rows."""

    label: np.ndarray
    score: np.ndarray

    @cached_property
    def order(self) -> np.ndarray:
        """Rows by falling score."""
        return np.argsort(-self.score, kind="stable")

    @cached_property
    def ties(self) -> np.ndarray:
        """Positions, in `order`, of the last row of each distinct score."""
        ranked = self.score[self.order]
        return np.flatnonzero(np.append(ranked[1:] != ranked[:-1], True))

    @cached_property
    def ranked_label(self) -> np.ndarray:
        """The labels by falling score."""
        return self.label[self.order]

    @cached_property
    def loss(self) -> np.ndarray:
        """Each row's negative log likelihood, in nats."""
        score = np.clip(self.score, CLIP, 1 - CLIP)
        return -np.log(np.where(self.label == 1, score, 1 - score))

    @cached_property
    def squared_error(self) -> np.ndarray:
        """Each row's."""
        return (self.score - self.label) ** 2

    def counts(self, weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Weighted true and false positives at every distinct threshold, from the highest down."""
        ranked = weight[self.order]
        positive = (ranked * self.ranked_label).cumsum()[self.ties]
        return positive, ranked.cumsum()[self.ties] - positive


def roc_auc(rows: Scored, weight: np.ndarray) -> float:
    """Area under the ROC curve, ties counted half; NaN when a class is absent."""
    hits, alarms = rows.counts(weight)
    if not len(hits) or not hits[-1] or not alarms[-1]:
        return float("nan")
    return float(np.trapezoid(np.append(0, hits), np.append(0, alarms)) / (hits[-1] * alarms[-1]))


def average_precision(rows: Scored, weight: np.ndarray) -> float:
    """Average precision, the step-wise area under the precision-recall curve; NaN without positives."""
    hits, alarms = rows.counts(weight)
    if not len(hits) or not hits[-1]:
        return float("nan")
    found = hits + alarms
    precision = np.divide(hits, found, out=np.zeros_like(hits), where=found > 0)
    return float((np.diff(hits, prepend=0) * precision).sum() / hits[-1])


def log_loss(rows: Scored, weight: np.ndarray) -> float:
    """Mean negative log likelihood, in nats."""
    return _mean(rows.loss, weight)


def brier(rows: Scored, weight: np.ndarray) -> float:
    """Mean squared error of the probability (Brier 1950)."""
    return _mean(rows.squared_error, weight)


def _mean(values: np.ndarray, weight: np.ndarray) -> float:
    total = weight.sum()
    return float((values * weight).sum() / total) if total else float("nan")


METRICS: dict[str, tuple[Callable[[Scored, np.ndarray], float], Direction]] = {
    "roc_auc": (roc_auc, "maximize"),
    "average_precision": (average_precision, "maximize"),
    "log_loss": (log_loss, "minimize"),
    "brier": (brier, "minimize"),
}


def check_metric(name: str, direction: str) -> None:
    """Raise SpecError when there is no such metric or the direction is not its own."""
    if name not in METRICS:
        raise SpecError(f"there is no metric {name!r}; there are {sorted(METRICS)}")
    if METRICS[name][1] != direction:
        raise SpecError(f"{name} is better when {METRICS[name][1]}d; the request says {direction!r}")


def value(name: str, label: np.ndarray, score: np.ndarray) -> float:
    """The metric `name` on all rows; NaN when a score is no number."""
    if not np.isfinite(score).all():
        return float("nan")
    return METRICS[name][0](Scored(label, score.astype(np.float64)), np.ones(len(label)))


class DayBootstrap:
    """Resamples the days of some rows; one seed gives one set of draws, so that differences are paired."""

    def __init__(self, day: np.ndarray, seed: int, resamples: int = RESAMPLES) -> None:
        days, self._index = np.unique(day, return_inverse=True)
        draws = np.random.default_rng(seed).integers(0, len(days), size=(resamples, len(days)))
        self._counts = np.stack([np.bincount(draw, minlength=len(days)) for draw in draws]).astype(np.float64)
        self._known: dict[tuple[str, int, int], _Draws] = {}

    def interval(self, name: str, label: np.ndarray, score: np.ndarray) -> Interval:
        """The metric with its 95 % percentile interval."""
        return _interval(value(name, label, score), self._draws(name, label, score))

    def difference(self, name: str, label: np.ndarray, score: np.ndarray, other: np.ndarray) -> Interval:
        """The metric of `score` minus that of `other` on the same rows and draws, with its 95 % interval."""
        point = value(name, label, score) - value(name, label, other)
        return _interval(point, self._draws(name, label, score) - self._draws(name, label, other))

    def _draws(self, name: str, label: np.ndarray, score: np.ndarray) -> np.ndarray:
        """The metric on each draw, computed once for arrays that are the same objects."""
        key = (name, id(label), id(score))
        if key not in self._known:
            self._known[key] = _Draws(label, score, self._computed(name, label, score))
        return self._known[key].metric

    def _computed(self, name: str, label: np.ndarray, score: np.ndarray) -> np.ndarray:
        if not np.isfinite(score).all():
            return np.full(len(self._counts), np.nan)
        rows, metric = Scored(label, score.astype(np.float64)), METRICS[name][0]
        return np.array([metric(rows, count[self._index]) for count in self._counts])


@dataclass(frozen=True)
class _Draws:
    """A metric on each draw [resamples], and the arrays that it is of: while held, no others have their ids."""

    label: np.ndarray
    score: np.ndarray
    metric: np.ndarray


def _interval(point: float, draws: np.ndarray) -> Interval:
    known = draws[np.isfinite(draws)]  # a draw of days without a positive has no AUC
    if not len(known):
        return Interval(point, float("nan"), float("nan"))
    lower, upper = np.quantile(known, [0.025, 0.975])
    return Interval(point, float(lower), float(upper))
