"""The bins of a model version's baseline.json, as cells to count rows in."""

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from pyspark.sql import functions as F

from dbx_jobs.errors import DataError

if TYPE_CHECKING:
    from pyspark.sql import Column

PREDICTION = "prediction"
OTHER = "other"
MISSING = "missing"


@dataclass(frozen=True)
class BinnedColumn:
    """One column's cells: its bins or categories, then (categorical only) other, then missing; `counts` of each.

    Numeric `edges` rise and part the bins: values below the first, from each up to the next, from the last upwards.
    """

    name: str
    kind: str
    labels: tuple[str, ...]
    counts: tuple[int, ...]
    edges: tuple[float, ...] = ()
    categories: tuple[str, ...] = ()

    def cell(self, value: "Column") -> "Column":
        """The position of `value` in `labels`, as an int that is never null."""
        missing = F.lit(len(self.labels) - 1)
        if self.kind == "categorical":
            found = F.array_position(F.array(*[F.lit(category) for category in self.categories]), value)
            other = F.lit(len(self.categories))
            return F.when(value.isNull(), missing).when(found > 0, found.cast("int") - 1).otherwise(other)
        number = value.cast("double")
        cell = sum((F.when(number >= F.lit(edge), 1).otherwise(0) for edge in self.edges), start=F.lit(0))
        unknown = number.isNull() | F.isnan(number)  # noqa: TID251 - a null is tested for as well
        return F.when(unknown, missing).otherwise(cell)


def parse_baseline(baseline: dict[str, Any]) -> list[BinnedColumn]:
    """The columns of baseline.json, the prediction last; raises DataError that names the column that does not fit.

    {"features": {name: histogram}, "prediction": histogram}, a histogram being {"kind": "numeric", "edges", "counts",
    "missing"} with one edge less than counts, or {"kind": "categorical", "categories", "counts", "other", "missing"}.
    """
    try:
        histograms = {**baseline["features"], PREDICTION: baseline["prediction"]}
    except (KeyError, TypeError) as error:
        raise DataError("baseline.json must have 'features' and 'prediction'; train the model again") from error
    if PREDICTION in baseline["features"]:
        raise DataError(f"no feature may be called {PREDICTION!r}: the model's output is profiled under this name")
    return [_column(name, histogram) for name, histogram in histograms.items()]


def _column(name: str, histogram: dict[str, Any]) -> BinnedColumn:
    try:
        parse = {"numeric": _numeric, "categorical": _categorical}[histogram["kind"]]
        return parse(name, histogram)
    except KeyError as error:
        raise DataError(f"baseline.json: {name!r} lacks or does not know {error}; train the model again") from error


def _numeric(name: str, histogram: dict[str, Any]) -> BinnedColumn:
    edges, counts = tuple(map(float, histogram["edges"])), histogram["counts"]
    if len(edges) != len(counts) - 1 or any(a >= b for a, b in pairwise(edges)):
        raise DataError(f"baseline.json: {name!r} needs rising edges, one less than counts, got {edges} and {counts}")
    labels = [f"{low:g} to {high:g}" for low, high in pairwise((-math.inf, *edges, math.inf))]
    return BinnedColumn(name, "numeric", (*labels, MISSING), (*counts, histogram["missing"]), edges=edges)


def _categorical(name: str, histogram: dict[str, Any]) -> BinnedColumn:
    categories, counts = tuple(histogram["categories"]), histogram["counts"]
    if len(categories) != len(counts) or len(set(categories)) != len(categories):
        raise DataError(f"baseline.json: {name!r} needs distinct categories, one for each count, got {categories}")
    return BinnedColumn(
        name,
        "categorical",
        (*categories, OTHER, MISSING),
        (*counts, histogram["other"], histogram["missing"]),
        categories=categories,
    )
