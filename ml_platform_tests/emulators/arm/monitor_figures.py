"""The figures of a monitor's signals: PSI, rates of nulls, wrong types and values out of bounds, the squared error.

`asked` and `learnt` are data frames, or columns of them.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from ml_platform_tests.emulators.arm.monitor_data import MonitorData

BINS = 10
PSI = "PopulationStabilityIndex"
Bounds = Mapping[tuple[str, str], float]
"""By kind of column (Numerical, Categorical) and metric, as the signal has them."""


@dataclass(frozen=True)
class Figure:
    """What is logged of a metric of a feature ("": of all)."""

    feature: str
    metric: str
    values: dict[str, float]


def drift(asked: Any, learnt: Any, most: Bounds) -> Iterator[Figure]:
    """PSI by feature; each count is one more than it is, so that none is nothing."""
    for name in asked.columns:
        kind, counts = _counts(learnt[name].dropna(), asked[name].dropna())
        bound = _bound(most, kind, PSI)
        if bound is not None:
            before, now = (np.array(each, dtype=float) + 1 for each in counts)
            before, now = before / before.sum(), now / now.sum()
            psi = float(((now - before) * np.log(now / before)).sum())
            yield Figure(name, PSI, {"value": psi, "threshold": bound})


def quality(asked: Any, learnt: Any, most: Bounds) -> Iterator[Figure]:
    """The rates of both data sets by feature."""
    for name in asked.columns:
        numeric = _is_numeric(learnt[name])
        kind = "Numerical" if numeric else "Categorical"
        both = {"target_value": asked[name], "baseline_value": learnt[name]}
        for metric, rate in (("NullValueRate", _nulls), ("DataTypeErrorRate", _types), ("OutOfBoundsRate", _bounds)):
            bound = _bound(most, kind, metric)
            if bound is not None:
                values = {key: rate(column, learnt[name], numeric) for key, column in both.items()}
                yield Figure(name, metric, {**values, "threshold": bound})


def errors(
    data: "MonitorData", production: dict[str, Any], reference: dict[str, Any], most: Mapping[str, float]
) -> Iterator[Figure]:
    """The root of the mean squared error of predictions whose labels are there."""
    told, known = production["columns"], reference["columns"]
    joined = data.rows(production).merge(
        data.rows(reference).dropna(subset=[known["target_column"]]),
        left_on=told["join_column"],
        right_on=known["join_column"],
    )
    off = joined[told["target_column"]].astype(float) - joined[known["target_column"]].astype(float)
    value = float(np.sqrt((off**2).mean()))
    for metric, bound in most.items():
        assert metric == "RootMeanSquaredError", metric
        yield Figure("", metric, {"value": value, "threshold": bound})


def _bound(most: Bounds, kind: str, metric: str) -> float | None:
    found = {(of.lower(), name.lower()): value for (of, name), value in most.items()}
    return found.get((kind.lower(), metric.lower()))


def _counts(learnt: Any, asked: Any) -> tuple[str, tuple[Any, Any]]:
    if _is_numeric(learnt):
        values = _numbers(asked).dropna().astype(float)
        edges = np.histogram_bin_edges(np.concatenate([learnt.astype(float), values]), BINS)
        return "Numerical", (np.histogram(learnt.astype(float), edges)[0], np.histogram(values, edges)[0])
    names = sorted({*learnt.astype(str), *asked.astype(str)})
    before, now = (each.astype(str).value_counts().reindex(names, fill_value=0).to_numpy() for each in (learnt, asked))
    return "Categorical", (before, now)


def _numbers(column: Any) -> Any:
    """What is no number is missing."""
    return pd.to_numeric(column, errors="coerce")


def _is_numeric(column: Any) -> bool:
    return pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column)


def _nulls(column: Any, learnt: Any, numeric: bool) -> float:
    return float(column.isna().mean())


def _types(column: Any, learnt: Any, numeric: bool) -> float:
    there = column.dropna()
    return float(_numbers(there).isna().mean()) if numeric and len(there) else 0.0


def _bounds(column: Any, learnt: Any, numeric: bool) -> float:
    there, known = column.dropna(), learnt.dropna()
    if there.empty or known.empty:
        return 0.0
    if not numeric:
        return float((~there.astype(str).isin(set(known.astype(str)))).mean())
    values = _numbers(there).dropna()
    return float(((values < known.min()) | (values > known.max())).mean()) if len(values) else 0.0
