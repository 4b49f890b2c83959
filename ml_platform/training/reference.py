"""What a model did on each day of its holdout, and what it leans on: later days are held against it."""

from pathlib import Path

import msgspec
import numpy as np

from ml_platform.scoring.encoding import REFERENCE_FILE
from ml_platform.training import metrics


def write_reference(
    directory: Path, trained_until: str, day: np.ndarray, label: np.ndarray, score: np.ndarray, weight: dict[str, float]
) -> None:
    """Write reference.json: the holdout's `day`, `label` and `score` [n] as metrics by day, and `weight` by feature.

    `weight` is how much the declared metric suffers without a feature. A metric that a day does not have is null.
    """
    days = [_day(str(each), label[day == each], score[day == each]) for each in np.unique(day)]
    reference = {"trained_until": trained_until, "importances": weight, "holdout": days}
    raw = msgspec.json.encode(reference, order="deterministic")
    (directory / REFERENCE_FILE).write_bytes(msgspec.json.format(raw, indent=1) + b"\n")


def _day(day: str, label: np.ndarray, score: np.ndarray) -> dict:
    found = {name: metrics.value(name, label, score) for name in metrics.METRICS}
    found |= {"base_rate": float(label.mean()), "mean_prediction": float(score.mean(dtype=np.float64))}
    rounded = {name: round(value, 12) if np.isfinite(value) else None for name, value in found.items()}
    return {"day": day, "rows": len(label), "labelled": len(label), "metrics": rounded}
