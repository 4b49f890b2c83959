"""Reads a window of a feature table at a pinned Delta version and splits it by time."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
import pandas as pd
import pyarrow as pa
from deltalake import DeltaTable
from deltalake.exceptions import DeltaError

from dbx_jobs.contract import PARTITION_COLUMN, Days
from ml_platform.errors import LakeError, SpecError
from ml_platform.training.blobs import storage_options
from ml_platform.training.contract import FeatureTable, Part, Roles, TrainingRequest

MONTH = "month"


@dataclass(frozen=True)
class Rows:
    """Labelled rows in a fixed order: raw features, labels int8 [n] of 0 and 1, and days as ISO text [n]."""

    features: pd.DataFrame
    kinds: dict[str, str]
    """`numeric` or `categorical`, by feature, in the table's order."""
    label: np.ndarray
    day: np.ndarray

    def __len__(self) -> int:
        return len(self.label)

    def between(self, days: Days) -> "Rows":
        """The rows of a closed range of days."""
        return self.where((self.day >= days.start) & (self.day <= days.end))

    def where(self, mask: np.ndarray) -> "Rows":
        """The rows where `mask` (bool [n]) holds."""
        return Rows(self.features.loc[mask], self.kinds, self.label[mask], self.day[mask])

    def columns(self) -> dict[str, np.ndarray]:
        """The raw columns by name, for the encoder."""
        return {name: self.features[name].to_numpy() for name in self.features}

    def slices(self, column: str) -> Iterator[tuple[str, np.ndarray]]:
        """`column=value` and its mask for every value of `column`; `month` without such a column is the day's."""
        if column not in self.features and column != MONTH:
            raise SpecError(f"slices name {column!r}, which is no feature; there are {list(self.kinds)} and {MONTH!r}")
        values = self.features[column].to_numpy() if column in self.features else np.array([d[:7] for d in self.day])
        for value in sorted(pd.unique(values[~pd.isna(values)])):
            yield f"{column}={value}", values == value


@dataclass(frozen=True)
class Split:
    """The three parts of a window, in time's order."""

    train: Rows
    validation: Rows
    holdout: Rows
    days: dict[str, Days]

    def parts(self) -> dict[str, Part]:
        """What each part holds, for the report."""
        parts = {"train": self.train, "validation": self.validation, "holdout": self.holdout}
        return {name: Part(self.days[name], len(rows), int(rows.label.sum())) for name, rows in parts.items()}


def read_rows(table: FeatureTable, days: Days) -> Rows:
    """The labelled rows of `days`, sorted by key; raises LakeError when the table cannot give them.

    The partitions are pruned by `days`. Credentials come from the environment: see `blobs.storage_options`.
    """
    roles = table.roles
    bounds = [
        (PARTITION_COLUMN, ">=", date.fromisoformat(days.start)),
        (PARTITION_COLUMN, "<=", date.fromisoformat(days.end)),
    ]
    try:
        opened = DeltaTable(table.uri, version=table.version, storage_options=storage_options(table.uri))
        arrow = opened.to_pyarrow_table(filters=bounds)
    except (DeltaError, OSError) as error:
        raise LakeError(f"the feature table {table.uri} cannot be read at version {table.version}: {error}") from error
    if absent := [name for name in _role_columns(roles) if name not in arrow.column_names]:
        raise LakeError(f"the feature table {table.uri} lacks {absent}; its columns are {arrow.column_names}")
    arrow = arrow.filter(arrow[roles.label].is_valid()).sort_by(
        [
            (name, "ascending") for name in (PARTITION_COLUMN, *roles.primary_key)
        ]  # a file's order is no part of a version
    )
    if not len(arrow):
        raise LakeError(f"the feature table {table.uri} has no labelled row from {days.start} to {days.end}")
    kinds = {field.name: _kind(table.uri, field) for field in arrow.schema if field.name not in _role_columns(roles)}
    return Rows(
        features=arrow.select(list(kinds)).to_pandas(),
        kinds=kinds,
        label=_labels(table, arrow[roles.label].to_numpy()),
        day=arrow[PARTITION_COLUMN].cast(pa.string()).to_numpy().astype("U10"),
    )


def split_by_time(rows: Rows, request: TrainingRequest) -> Split:
    """Train, validation, holdout: the last days are the holdout, those before it the validation.

    Raises LakeError when a part is empty or holds one class only: nothing could be learned or judged.
    """
    end = date.fromisoformat(request.window.end)
    holdout = end - timedelta(days=request.holdout_days - 1)
    validation = holdout - timedelta(days=request.validation_days)
    days = {
        "train": Days(request.window.start, _before(validation)),
        "validation": Days(validation.isoformat(), _before(holdout)),
        "holdout": Days(holdout.isoformat(), request.window.end),
    }
    parts = {name: rows.between(part) for name, part in days.items()}
    for name, part in parts.items():
        if len(set(part.label.tolist())) < 2:
            raise LakeError(
                f"the {name} part ({days[name].start} to {days[name].end}) has {len(part)} labelled rows with "
                f"{int(part.label.sum())} positives; both classes are needed: widen the window or materialise its days"
            )
    return Split(**parts, days=days)


def _before(day: date) -> str:
    return (day - timedelta(days=1)).isoformat()


def _role_columns(roles: Roles) -> list[str]:
    return [PARTITION_COLUMN, *roles.primary_key, roles.event_time, roles.prediction_time, roles.label]


def _kind(uri: str, field: pa.Field) -> str:
    kind = field.type
    if pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        return "categorical"
    if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind):
        return "numeric"
    raise LakeError(f"{uri}: the feature {field.name!r} has type {kind}; a feature is a string or a number")


def _labels(table: FeatureTable, values: np.ndarray) -> np.ndarray:
    if set(np.unique(values).tolist()) - {0, 1}:
        raise LakeError(
            f"{table.uri}: the label {table.roles.label!r} must be 0, 1 or null, got {np.unique(values)[:9]}"
        )
    return values.astype(np.int8)
