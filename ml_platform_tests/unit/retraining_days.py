"""Days of one distribution, from a seed: what a champion's service looks like when nothing has changed."""

from dataclasses import replace
from datetime import date, timedelta

import numpy as np

from ml_platform.core.observations import Champion, ColumnCells, DayMetrics, Observations, Source, SourceDay

TRAINED_UNTIL = "2013-03-31"
HOLDOUT = 14
ROWS = 900
QUIET = 1
"""A seed by which nothing stands out after six weeks. Some seeds alarm by chance, as often as is declared."""
BINS = 20


def add(day: str, days: int) -> str:
    return (date.fromisoformat(day) + timedelta(days=days)).isoformat()


class Days:
    """`count` days from the first of the holdout. Log loss follows the base rate, and a day moves all its rows.

    `resemblance` is the correlation of a day with the day before.
    """

    def __init__(self, seed: int, count: int, resemblance: float = 0.0) -> None:
        self.random = np.random.default_rng(seed)
        self.names = [add(TRAINED_UNTIL, n - HOLDOUT + 1) for n in range(count)]
        storm, skill = self._series(count, resemblance), self._series(count, resemblance)
        base = 1 / (1 + np.exp(1.35 - 0.7 * storm))
        relative = 0.87 + 0.06 * np.exp(0.5 * skill) / np.exp(0.125)  # skewed, as measured on flights
        entropy = -(base * np.log(base) + (1 - base) * np.log(1 - base))
        self.metrics: list[dict[str, float | None]] = [
            {"roc_auc": float(a), "log_loss": float(loss), "base_rate": float(b), "mean_prediction": float(m)}
            for a, loss, b, m in zip(
                0.72 - 0.065 * skill, relative * entropy, base, 1 / (1 + np.exp(1.35 - 0.5 * storm)), strict=True
            )
        ]
        self.prediction = np.stack([self._cells(-1.35 + 0.5 * s) for s in storm])
        self.feature = np.stack([self._cells(-1.35 + 0.8 * s) for s in storm])

    def _series(self, count: int, resemblance: float) -> np.ndarray:
        shocks = self.random.normal(size=count)
        for n in range(1, count):
            shocks[n] = resemblance * shocks[n - 1] + np.sqrt(1 - resemblance**2) * shocks[n]
        return shocks

    def _cells(self, centre: float) -> np.ndarray:
        scores = 1 / (1 + np.exp(-self.random.normal(centre, 1.0, ROWS)))
        return np.append(np.bincount((scores * BINS).astype(int), minlength=BINS), 0)

    def row(self, n: int) -> DayMetrics:
        return DayMetrics(self.names[n], ROWS, ROWS, True, self.metrics[n], "1")

    def seen(self, last: int, first: int = HOLDOUT, drift: int = 14) -> Observations:
        """What is known at the end of day number `last`."""
        holdout = [self.row(n) for n in range(HOLDOUT)]
        champion = Champion("1", TRAINED_UNTIL, holdout, {"crowding": 0.8, "carrier": 0.2})
        served = [self.row(n) for n in range(first, last + 1)]
        columns = [
            ColumnCells(
                name,
                [str(cell) for cell in range(BINS)] + ["missing"],
                counts[:HOLDOUT].sum(axis=0).tolist(),
                {self.names[n]: counts[n].tolist() for n in range(max(HOLDOUT, last - drift + 1), last + 1)},
            )
            for name, counts in (("prediction", self.prediction), ("crowding", self.feature))
        ]
        attempts = {self.names[n]: SourceDay(ROWS) for n in range(max(0, last - 20), last + 1)}
        sources = [Source("lake/flights", 3, attempts), Source("lake/weather", 1, dict(attempts))]
        return Observations("flights", self.names[last], sources, champion, served, columns)


def worse(seen: Observations, since: str, auc: float = 0.12) -> Observations:
    """The same with an AUC that is lower from a day on."""
    return replace(
        seen,
        performance=[
            replace(d, metrics=d.metrics | {"roc_auc": (d.metrics["roc_auc"] or 0) - auc}) if d.day >= since else d
            for d in seen.performance
        ],
    )
