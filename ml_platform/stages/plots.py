"""The pictures of the monitoring assets, as Markdown with the PNG inside, small enough for Dagster's metadata."""

import base64
import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ml_platform.core.drift import ColumnDrift, Comparison
from ml_platform.core.product_monitors import DriftSpec, PerformanceSpec
from ml_platform.core.spec import MetricName

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MAX_BYTES = 50_000
"""Of the Markdown: metadata is stored with every event and loaded with every page."""
MAX_COLUMNS, MAX_DAYS, MAX_CELLS, MAX_LABELS = 40, 60, 30, 15
RESOLUTIONS = (100, 70, 50)
PALETTE = 64
BASELINE, CURRENT, UNKNOWN = "#9aa5b1", "#3b6fb6", "#eeeeee"


def drift_heat_map(days: Mapping[str, Sequence[ColumnDrift]], policy: DriftSpec) -> str:
    """Columns (worst first, at most 40) by days (the last 60), coloured by PSI above its noise; grey: too few rows."""
    shown = sorted(days)[-MAX_DAYS:]
    excess = {(day, d.column): d.excess for day in shown for d in days[day]}
    worst: dict[str, float] = {}
    for (_, column), value in excess.items():
        worst[column] = max(worst.get(column, 0.0), value or 0.0)
    columns = sorted(worst, key=lambda column: (-worst[column], column))[:MAX_COLUMNS]
    figure = _figure(2.5 + 0.25 * max(len(shown), 8), 1.2 + 0.22 * len(columns))
    axes = figure.subplots()
    grid = [[_or_nan(excess.get((day, column))) for day in shown] for column in columns]
    axes.set_facecolor(UNKNOWN)
    image = axes.imshow(grid, aspect="auto", cmap="YlOrRd", vmin=0, vmax=policy.psi_alert, interpolation="nearest")
    axes.set_yticks(range(len(columns)), columns, fontsize=7)
    _day_ticks(axes, shown)
    bar = figure.colorbar(image, ax=axes, extend="max", ticks=[0, policy.psi_warn, policy.psi_alert])
    bar.ax.set_yticklabels(["0", f"warn {policy.psi_warn:g}", f"alert {policy.psi_alert:g}"], fontsize=7)
    axes.set_title("Drift: PSI above sampling noise", fontsize=9)
    return _markdown(figure, "drift heat map")


def distribution(comparison: Comparison) -> str:
    """One column's share of rows in each cell (the 30 largest, in their order), baseline beside current window."""
    sides = ((comparison.expected, "baseline", BASELINE), (comparison.actual, "current", CURRENT))
    shares = [[count / (sum(counts) or 1) for count in counts] for counts, _, _ in sides]
    largest = sorted(range(len(comparison.labels)), key=lambda cell: -max(side[cell] for side in shares))
    cells = sorted(largest[:MAX_CELLS])
    figure = _figure(2 + 0.28 * len(cells), 3)
    axes = figure.subplots()
    for offset, side, (counts, name, colour) in zip((-0.2, 0.2), shares, sides, strict=True):
        positions = [position + offset for position in range(len(cells))]
        axes.bar(positions, [side[cell] for cell in cells], 0.4, color=colour, label=f"{name} ({sum(counts)} rows)")
    labels = [comparison.labels[cell] for cell in cells]
    axes.set_xticks(range(len(cells)), labels, rotation=60, ha="right", fontsize=7)
    axes.set_ylabel("share of rows", fontsize=8)
    axes.set_title(comparison.column, fontsize=9)
    axes.legend(fontsize=7, frameon=False)
    return _markdown(figure, f"distribution of {comparison.column}")


def performance_over_time(
    rows: Sequence[Mapping[str, Any]], metrics: Sequence[MetricName], policy: PerformanceSpec
) -> str:
    """Each metric by day (the last 60) with its interval; hollow points are provisional, dashed lines the thresholds.

    `rows` are those of `monitoring/<product>/performance`; a day without the metric is a gap.
    """
    shown = sorted(rows, key=lambda row: str(row["day"]))[-MAX_DAYS:]
    figure = _figure(2 + 0.22 * max(len(shown), 20), 1.8 * len(metrics))
    panels = figure.subplots(len(metrics), 1, sharex=True, squeeze=False)[:, 0]
    for axes, metric in zip(panels, metrics, strict=True):
        _metric(axes, shown, metric)
        for bound in (policy.floors.get(metric), policy.ceilings.get(metric)):
            if bound is not None:
                axes.axhline(bound, color="#c8553d", linestyle="--", linewidth=0.8)
        axes.set_ylabel(metric.replace("_", " "), fontsize=8)
        axes.tick_params(labelsize=7)
    _day_ticks(panels[-1], [str(row["day"]) for row in shown])
    return _markdown(figure, "performance over time")


def _or_nan(value: float | None) -> float:
    return float("nan") if value is None else value


def _metric(axes: "Axes", rows: Sequence[Mapping[str, Any]], metric: str) -> None:
    for position, row in enumerate(rows):
        value, low, high = (row[f"{metric}{suffix}"] for suffix in ("", "_low", "_high"))
        if value is None:
            continue
        if low is not None and high is not None:
            axes.vlines(position, low, high, color=BASELINE, linewidth=2)
        fill = CURRENT if row["final"] else "white"
        axes.plot(position, value, "o", color=CURRENT, markerfacecolor=fill, markersize=4)
    axes.set_xlim(-0.5, max(len(rows), 1) - 0.5)


def _day_ticks(axes: "Axes", days: Sequence[str]) -> None:
    step = max(1, -(-len(days) // MAX_LABELS))
    axes.set_xticks(range(0, len(days), step), list(days)[::step], rotation=60, ha="right", fontsize=7)


def _figure(width: float, height: float) -> "Figure":
    # Not through pyplot: its figures are global and would pile up in a process that runs for days.
    from matplotlib.figure import Figure

    return Figure(figsize=(min(width, 16), min(height, 12)), layout="constrained")


def _markdown(figure: "Figure", name: str) -> str:
    """The figure at the highest resolution that keeps it below MAX_BYTES, in a palette: a third of the size."""
    from PIL import Image

    markdown = ""
    for resolution in RESOLUTIONS:
        full, png = io.BytesIO(), io.BytesIO()
        figure.savefig(full, format="png", dpi=resolution)
        Image.open(full).convert("RGB").quantize(PALETTE).save(png, format="png", optimize=True)
        markdown = f"![{name}](data:image/png;base64,{base64.b64encode(png.getvalue()).decode()})"
        if len(markdown) < MAX_BYTES:
            break
    return markdown
