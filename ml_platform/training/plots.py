"""The pictures of a training: curves, calibration, importances and slices, each a small PNG."""

from io import BytesIO
from typing import TYPE_CHECKING

import numpy as np

from ml_platform.core.gate import Interval, SliceEvidence
from ml_platform.training.contract import SliceMetric

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOUR, OTHER, GREY = "#3b6fb6", "#c8553d", "#888888"
POINTS = 400
"""Points of a curve; more cannot be seen."""


def curves(label: np.ndarray, score: np.ndarray) -> bytes:
    """ROC and precision-recall curves on the holdout."""
    from sklearn.metrics import precision_recall_curve, roc_curve

    figure, (left, right) = _figure(2)
    alarms, hits, _ = roc_curve(label, score)
    _line(left, alarms, hits, "ROC", ("false positive rate", "true positive rate"))
    left.plot([0, 1], [0, 1], color=GREY, linestyle=":")
    precision, recall, _ = precision_recall_curve(label, score)
    _line(right, recall, precision, "Precision and recall", ("recall", "precision"))
    right.axhline(label.mean(), color=GREY, linestyle=":")
    return _png(figure)


def calibration_curve(label: np.ndarray, score: np.ndarray, raw: np.ndarray) -> bytes:
    """Observed share against predicted probability in twelve groups of equal size, before and after calibration."""
    figure, (left, right) = _figure(2)
    for values, colour, name in ((raw, GREY, "estimator"), (score, COLOUR, "served")):
        groups = np.array_split(np.argsort(values, kind="stable"), 12)
        left.plot([values[g].mean() for g in groups], [label[g].mean() for g in groups], "o-", color=colour, label=name)
    left.plot([0, 1], [0, 1], color=GREY, linestyle=":")
    left.set(title="Calibration", xlabel="predicted", ylabel="observed", xlim=(0, 1), ylim=(0, 1))
    left.legend(frameon=False)
    for value, colour in ((0, COLOUR), (1, OTHER)):
        right.hist(
            score[label == value], bins=30, range=(0, 1), alpha=0.6, density=True, color=colour, label=f"{value}"
        )
    right.set(title="Predictions by label", xlabel="predicted", yticks=[])
    right.legend(frameon=False)
    return _png(figure)


def importances(names: list[str], drops: np.ndarray, metric: str) -> bytes:
    """How much the metric suffers when one feature is permuted; the twenty largest."""
    figure, (axis,) = _figure(height=5.0)
    order = np.argsort(drops, kind="stable")[-20:]
    axis.barh([names[i] for i in order], drops[order], color=COLOUR)
    axis.set(title="Permutation importance on the holdout", xlabel=f"loss of {metric}")
    return _png(figure)


def slice_metrics(slices: list[SliceMetric], overall: float, metric: str) -> bytes:
    """The declared metric on every slice with its interval, the whole holdout dotted."""
    figure, (axis,) = _figure(height=max(2.5, 0.22 * len(slices) + 1))
    shown = [item for item in slices if np.isfinite(item.metric.point)][::-1]
    for row, item in enumerate(shown):
        axis.plot([item.metric.lower, item.metric.upper], [row, row], color=COLOUR)
        axis.plot(item.metric.point, row, "o", color=COLOUR, markersize=4)
    axis.axvline(overall, color=GREY, linestyle=":")
    axis.set(title=f"{metric} by slice, 95 % intervals")
    axis.set_yticks(range(len(shown)), [f"{item.name} ({item.rows:,})" for item in shown], fontsize=7)
    return _png(figure)


def differences(slices: list[SliceEvidence], overall: Interval | None, metric: str) -> bytes:
    """Challenger minus champion, overall (dotted) and by slice, with intervals."""
    figure, (axis,) = _figure(height=max(2.5, 0.22 * len(slices) + 1))
    shown = [(item, item.difference) for item in slices if item.difference is not None][::-1]
    for row, (_, change) in enumerate(shown):
        axis.plot([change.lower, change.upper], [row, row], color=OTHER)
        axis.plot(change.point, row, "o", color=OTHER, markersize=4)
    axis.axvline(0, color=GREY)
    if overall is not None:
        axis.axvline(overall.point, color=COLOUR, linestyle=":")
    axis.set(title=f"{metric}: challenger minus champion, 95 % intervals")
    axis.set_yticks(range(len(shown)), [f"{item.name} ({item.rows:,})" for item, _ in shown], fontsize=7)
    return _png(figure)


def tuning(values: list[float], metric: str) -> bytes:
    """The metric of every trial on the validation part."""
    figure, (axis,) = _figure()
    axis.plot(range(1, len(values) + 1), values, "o-", color=COLOUR)
    axis.set(title="Search", xlabel="trial", ylabel=f"{metric} on validation")
    return _png(figure)


def _figure(columns: int = 1, height: float = 3.2) -> tuple["Figure", list["Axes"]]:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.5, height), layout="constrained")
    FigureCanvasAgg(figure)  # no pyplot: nothing global, nothing to close
    return figure, list(figure.subplots(1, columns, squeeze=False)[0])


def _line(axis: "Axes", x: np.ndarray, y: np.ndarray, title: str, names: tuple[str, str]) -> None:
    keep = np.unique(np.linspace(0, len(x) - 1, POINTS).astype(int))
    axis.plot(x[keep], y[keep], color=COLOUR)
    axis.set(title=title, xlabel=names[0], ylabel=names[1], xlim=(0, 1), ylim=(0, 1))


def _png(figure: "Figure") -> bytes:
    buffer = BytesIO()
    figure.savefig(buffer, format="png", dpi=80)
    return buffer.getvalue()
