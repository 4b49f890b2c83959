"""Histograms of the training data and of the holdout's predictions, against which drift is measured later.

A numeric histogram with `edges` e0 < e1 < ... counts x < e0, e0 <= x < e1, ..., x >= the last; a categorical one counts
`categories` by position and whatever else as `other`. Missing values are counted apart.
"""

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pandas as pd

from ml_platform.scoring.encoding import BASELINE_FILE, Signature
from ml_platform.training.data import Rows

BINS = 10
PREDICTION_EDGES = [round(0.05 * step, 2) for step in range(1, 20)]


def write_baseline(rows: Rows, scores: np.ndarray, signature: Signature, directory: Path) -> None:
    """Write baseline.json: `rows` gives the features' histograms, `scores` [m] the prediction's."""
    columns = rows.columns()
    features = {
        item.name: _numeric(columns[item.name])
        if item.kind == "numeric"
        else _categorical(pd.Series(columns[item.name]), item.categories)
        for item in signature.inputs
    }
    baseline = {
        "rows": len(rows),
        "features": features,
        "prediction": _histogram(scores, PREDICTION_EDGES) | {"name": signature.output},
    }
    raw = msgspec.json.encode(baseline, order="deterministic")
    (directory / BASELINE_FILE).write_bytes(msgspec.json.format(raw, indent=1) + b"\n")


def _numeric(column: np.ndarray) -> dict[str, Any]:
    """Ten bins of about equal content, fewer where values repeat."""
    values = column.astype(np.float64)
    known = values[~np.isnan(values)]
    edges = np.unique(np.quantile(known, np.arange(1, BINS) / BINS)).tolist() if len(known) else []
    return _histogram(values, edges)


def _histogram(values: np.ndarray, edges: list[float]) -> dict[str, Any]:
    known = values[~np.isnan(values)]
    counts = np.bincount(np.searchsorted(edges, known, side="right"), minlength=len(edges) + 1)
    return {"kind": "numeric", "edges": edges, "counts": counts.tolist(), "missing": len(values) - len(known)}


def _categorical(column: pd.Series, categories: tuple[str, ...]) -> dict[str, Any]:
    counts = [int((column == value).sum()) for value in categories]
    missing = int(column.isna().sum())
    return {
        "kind": "categorical",
        "categories": list(categories),
        "counts": counts,
        "other": len(column) - missing - sum(counts),
        "missing": missing,
    }
