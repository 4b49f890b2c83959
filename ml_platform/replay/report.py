"""The report of a replay: JSON for programs, one self-contained HTML page and its picture for people."""

import base64
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ml_platform.core.gate import Interval
from ml_platform.replay.arms import ARMS, MONTHLY, PLATFORM, STATIC
from ml_platform.replay.decisions import DecisionRecord
from ml_platform.replay.figures import METRICS, POOLED, Period

if TYPE_CHECKING:
    from matplotlib.axes import Axes

TEMPLATE = Path(__file__).with_name("report.html.j2")
COLOURS = {PLATFORM: "#3b6fb6", STATIC: "#888888", MONTHLY: "#c8553d"}
TITLES = {"roc_auc": "ROC AUC (higher is better)", "log_loss": "Log loss (lower is better)"}
JSON_FILE, HTML_FILE, PICTURE_FILE = "report.json", "report.html", "replay.png"


@dataclass(frozen=True)
class Report:
    """All that a replay is to tell. `seconds` is the time that each part of it took."""

    product: str
    start: str
    end: str
    periods: Sequence[Period]
    decisions: Sequence[DecisionRecord]
    first_version: str
    monthly_trainings: int
    seconds: Mapping[str, float]

    @property
    def retrainings(self) -> list[DecisionRecord]:
        """The decisions that led to a run."""
        return [decision for decision in self.decisions if decision.run_id]

    def to_dict(self) -> dict[str, Any]:
        """JSON's content."""
        return {
            "product": self.product,
            "from": self.start,
            "to": self.end,
            "arms": ARMS,
            "periods": [asdict(period) for period in self.periods],
            "decisions": [asdict(decision) for decision in self.decisions],
            "verdicts": dict(Counter(decision.verdict for decision in self.decisions)),
            "first_version": self.first_version,
            "retrainings": {PLATFORM: len(self.retrainings), STATIC: 0, MONTHLY: self.monthly_trainings},
            "training_seconds": sum(decision.seconds for decision in self.retrainings),
            "seconds": dict(self.seconds),
        }


def write_report(report: Report, folder: Path) -> Path:
    """Write report.json, replay.png and report.html into `folder`; returns the page."""
    folder.mkdir(parents=True, exist_ok=True)
    picture = main_picture(report)
    _replace(folder / JSON_FILE, json.dumps(report.to_dict(), indent=1).encode())
    _replace(folder / PICTURE_FILE, picture)
    _replace(folder / HTML_FILE, page(report, picture).encode())
    return folder / HTML_FILE


def page(report: Report, picture: bytes) -> str:
    """The HTML page, pictures included."""
    from jinja2 import Environment, StrictUndefined

    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= {"interval": _interval, "change": _change, "duration": _duration}
    return environment.from_string(TEMPLATE.read_text()).render(
        report=report,
        facts=report.to_dict(),
        arms=ARMS,
        colours=COLOURS,
        metrics={name: TITLES[name] for name in METRICS},
        pooled=next(period for period in report.periods if period.name == POOLED),
        picture=base64.b64encode(picture).decode(),
    )


def main_picture(report: Report) -> bytes:
    """Both metrics by month in each arm, PNG; a line marks each retraining."""
    from matplotlib.figure import Figure

    months = [period for period in report.periods if period.name != POOLED]
    figure = Figure(figsize=(9, 6.2), layout="constrained")
    for axes, metric in zip(figure.subplots(len(METRICS), 1, sharex=True), METRICS, strict=True):
        _mark_retrainings(axes, report, months)
        for place, arm in enumerate(ARMS):
            shift = (place - 1) * 0.09
            values = [period.metrics[arm][metric] for period in months]
            at = [n + shift for n in range(len(months))]
            spread = [[v.point - v.lower for v in values], [v.upper - v.point for v in values]]
            axes.errorbar(
                at, [v.point for v in values], spread, fmt="o-", ms=4, lw=1.6, elinewidth=0.8,
                color=COLOURS[arm], label=ARMS[arm],
            )  # fmt: skip
        axes.set_title(TITLES[metric], fontsize=10, loc="left")
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(axis="y", alpha=0.25)
        axes.set_xticks(range(len(months)), [period.name for period in months])
    figure.axes[0].legend(frameon=False, fontsize=9, ncols=3, loc="lower left")
    buffer = BytesIO()
    figure.savefig(buffer, format="png", dpi=110, metadata={"Software": None})
    return buffer.getvalue()


def _mark_retrainings(axes: "Axes", report: Report, months: Sequence[Period]) -> None:
    """Dotted lines at the days of retrainings; a candidate that was not promoted is paler."""
    names = [period.name for period in months]
    for decision in report.retrainings:
        month = decision.day[:7]
        if month in names:
            # A month's marker stands in the middle of its days.
            at = names.index(month) + (date.fromisoformat(decision.day).day - 15) / 30
            alpha = 0.7 if decision.outcome == "promoted" else 0.25
            axes.axvline(at, color=COLOURS[PLATFORM], linestyle=":", lw=1.2, alpha=alpha, zorder=0)


def _interval(value: Interval) -> str:
    return f"{value.point:.3f} [{value.lower:.3f}, {value.upper:.3f}]"


def _change(value: Interval) -> str:
    return f"{value.point:+.4f} [{value.lower:+.4f}, {value.upper:+.4f}]"


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def _replace(path: Path, content: bytes) -> None:
    unfinished = path.with_name(f".{path.name}.part")
    unfinished.write_bytes(content)
    unfinished.replace(path)
