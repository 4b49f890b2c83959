"""What the replayed events were given by the platform, by the first model left alone, and by a new one every month."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from dbx_jobs.contract import PARTITION_COLUMN, Days, Roles
from ml_platform.core import keys
from ml_platform.core.keys import AssetPath
from ml_platform.core.product import ProductSpec
from ml_platform.errors import LakeError
from ml_platform.gateways.lake import Lake

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from mlflow import MlflowClient

    from ml_platform.training.contract import TrainingRequest
    from ml_platform.training.data import Rows

PLATFORM, STATIC, MONTHLY = "platform", "first_model", "monthly"
ARMS = {
    PLATFORM: "with the platform",
    STATIC: "the first model left alone",
    MONTHLY: "retrained every month",
}

LEAD_DAYS = 1
"""An event is asked about at most this many days before its day."""

Progress = Callable[[str], None]
Score = Callable[["Rows"], "np.ndarray"]


@dataclass(frozen=True)
class Scored:
    """The labelled events of the replay, by day: labels [n], days as ISO text [n], probabilities [n] of each arm."""

    day: "np.ndarray"
    label: "np.ndarray"
    scores: "dict[str, np.ndarray]"


@dataclass(frozen=True)
class FirstModel:
    """The model that the replay began with: its serving directory, its hyperparameters and its training's facts."""

    directory: Path
    parameters: dict[str, Any]

    @classmethod
    def of(cls, client: "MlflowClient", run_id: str, scratch: Path) -> "FirstModel":
        """Download what the training `run_id` logged into `scratch`."""
        from ml_platform.training.contract import REPORT_PATH, SERVING_PATH

        report = Path(client.download_artifacts(run_id, REPORT_PATH, str(scratch)))
        directory = Path(client.download_artifacts(run_id, SERVING_PATH, str(scratch)))
        return cls(directory, json.loads(report.read_text())["parameters"])


def score_arms(
    lake: Lake, product: ProductSpec, days: Days, client: "MlflowClient", run_id: str, threads: int, progress: Progress
) -> Scored:
    """Score the labelled events of `days` in each arm; `run_id` is the first model's training.

    An event without a label, or that the endpoint never answered, is in no arm: all are judged on the same rows.
    Raises LakeError when no event has both.
    """
    import numpy as np

    progress("Read the events and what the endpoint answered")
    rows, platform = _answered_events(lake, product, days)
    with TemporaryDirectory() as scratch:
        first = FirstModel.of(client, run_id, Path(scratch))
        progress("Score them with the first model")
        static = _serving(first.directory, threads)(rows)
    monthly = static.copy()
    table = _table(lake, keys.features(product.name))
    for month, last in later_months(product, days):
        progress(f"Train for {month} on what was known, and score it")
        mask = np.char.startswith(rows.day, month)
        if mask.any():
            request = _request(lake, product, Days(product.start.isoformat(), last), table.version(), threads)
            monthly[mask] = retrained(request, first.parameters)(rows.where(mask))
    return Scored(rows.day, rows.label, {PLATFORM: platform, STATIC: static, MONTHLY: monthly})


def retrained(request: "TrainingRequest", parameters: dict[str, Any]) -> Score:
    """The platform's own training of `request` without its search: split, calibration and fit are the same."""
    from dataclasses import replace

    from ml_platform.scoring.encoding import OUTPUT, Encoder, Input, Signature
    from ml_platform.training.data import read_rows, split_by_time
    from ml_platform.training.estimator import probability
    from ml_platform.training.learning import fit

    request = replace(request, parameters=parameters, trials=0, search_space={})
    rows = read_rows(request.features, request.window)
    split = split_by_time(rows, request)
    known = rows.where(rows.day <= split.days["validation"].end)
    inputs = (
        Input(name, "numeric")
        if kind == "numeric"
        else Input(name, "categorical", tuple(sorted(known.features[name].dropna().unique().tolist())))
        for name, kind in rows.kinds.items()
    )
    encoder = Encoder(Signature(tuple(inputs), output=OUTPUT))
    fitted = fit(request, split, known, encoder, lambda _: None)

    def score(events: "Rows") -> "np.ndarray":
        raw = probability(fitted.estimator, encoder.encode_columns(events.columns()))
        return fitted.platt(raw) if fitted.platt else raw

    return score


def _serving(directory: Path, threads: int) -> Score:
    from ml_platform.scoring.pyfunc import ServingModel

    model = ServingModel(directory, threads)
    return lambda events: model.score_columns(events.columns()).astype("float64")


def _answered_events(lake: Lake, product: ProductSpec, days: Days) -> "tuple[Rows, np.ndarray]":
    """The labelled events that the endpoint answered, in order, and the first answer to each."""
    from ml_platform.training.data import Rows

    key, label = list(product.features.primary_key), product.model.label
    answers = _frame(lake, keys.monitoring(product.name, "inference_log"), _asked_on(days))
    answers = answers.sort_values(["logged_at", "prediction_id"]).drop_duplicates(key)
    events = _frame(lake, keys.features(product.name), days).dropna(subset=[label])
    found = events.merge(answers[[*key, "probability"]], on=key, suffixes=("", "_answered"))
    if found.empty:
        raise LakeError(f"no event from {days.start} to {days.end} has a label and an answer: replay them first")
    found = found.sort_values([PARTITION_COLUMN, *key], ignore_index=True)
    asides = {PARTITION_COLUMN, *key, product.features.event_time, product.features.prediction_time, label}
    rows = Rows(
        features=found.loc[:, [name for name in events.columns if name not in asides]],
        kinds={},
        label=found[label].to_numpy().astype("int8"),
        day=found[PARTITION_COLUMN].astype(str).to_numpy().astype("U10"),
    )
    return rows, found["probability"].to_numpy().astype("float64")


def _asked_on(days: Days) -> Days:
    return Days((date.fromisoformat(days.start) - timedelta(days=LEAD_DAYS)).isoformat(), days.end)


def _frame(lake: Lake, path: AssetPath, days: Days) -> "pd.DataFrame":
    start, end = (date.fromisoformat(day) for day in (days.start, days.end))
    bounds = [(PARTITION_COLUMN, ">=", start), (PARTITION_COLUMN, "<=", end)]
    return _table(lake, path).to_pyarrow_table(filters=bounds).to_pandas()


def _table(lake: Lake, path: AssetPath) -> Any:
    from deltalake import DeltaTable

    return partial(DeltaTable, storage_options=dict(lake.storage_options) or None)(lake.table(path))


def later_months(product: ProductSpec, days: Days) -> Iterator[tuple[str, str]]:
    """Each month that begins within `days` after their first, and the last day whose labels were final when it did."""
    first = date.fromisoformat(days.start)
    month = (first.replace(day=1) + timedelta(days=32)).replace(day=1)
    while month.isoformat() <= days.end:
        known = month - timedelta(days=1 + product.monitors.performance.maturity_days)
        yield month.isoformat()[:7], known.isoformat()
        month = (month + timedelta(days=32)).replace(day=1)


def _request(lake: Lake, product: ProductSpec, window: Days, version: int, threads: int) -> "TrainingRequest":
    from ml_platform.training.contract import FeatureTable, Metric, Tracking, TrainingRequest

    model, features = product.model, product.features
    roles = Roles(list(features.primary_key), features.event_time, features.prediction_time, model.label)
    return TrainingRequest(
        product=product.name,
        features=FeatureTable(lake.table(keys.features(product.name)), version, roles),
        window=window,
        validation_days=model.split.validation_days,
        holdout_days=model.split.holdout_days,
        metric=Metric(model.metric.name, model.metric.direction),
        tracking=Tracking("", "", ""),
        estimator=model.estimator,
        seed=model.seed,
        threads=threads,
    )
