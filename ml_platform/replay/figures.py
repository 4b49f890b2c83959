"""The figures of a replay: each arm's metrics by month and in all, with intervals and differences over whole days."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ml_platform.core.gate import Interval
from ml_platform.replay.arms import PLATFORM, Scored

if TYPE_CHECKING:
    import numpy as np

METRICS = ("roc_auc", "log_loss")
RESAMPLES = 200
"""Draws of days behind an interval of a month or of the whole."""

POOLED = "all"


@dataclass(frozen=True)
class Period:
    """A month, or the whole: its rows and each arm's metrics with 95 % intervals, days resampled.

    `against` has, by arm and metric, the platform's value minus the arm's, on the same rows and draws.
    """

    name: str
    rows: int
    positives: int
    metrics: dict[str, dict[str, Interval]]
    against: dict[str, dict[str, Interval]]


def periods(scored: Scored, seed: int) -> list[Period]:
    """Every month of the replay in order, then the whole."""
    import numpy as np

    months = sorted({day[:7] for day in scored.day.tolist()})
    parts = [(month, np.char.startswith(scored.day, month)) for month in months]
    return [_period(name, scored, mask, seed) for name, mask in [*parts, (POOLED, np.full(len(scored.day), True))]]


def _period(name: str, scored: Scored, mask: "np.ndarray", seed: int) -> Period:
    from ml_platform.training.metrics import DayBootstrap

    label, bootstrap = scored.label[mask], DayBootstrap(scored.day[mask], seed, RESAMPLES)
    scores = {arm: values[mask] for arm, values in scored.scores.items()}
    return Period(
        name=name,
        rows=int(mask.sum()),
        positives=int(label.sum()),
        metrics={arm: {m: bootstrap.interval(m, label, score) for m in METRICS} for arm, score in scores.items()},
        against={
            arm: {m: bootstrap.difference(m, label, scores[PLATFORM], score) for m in METRICS}
            for arm, score in scores.items()
            if arm != PLATFORM
        },
    )
