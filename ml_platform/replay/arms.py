"""What the replayed events were given by the platform, by the first model left alone, and by a new one every month."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING

from dbx_jobs.contract import PARTITION_COLUMN, Days
from ml_platform.core import keys
from ml_platform.core.keys import AssetPath
from ml_platform.core.product import ProductSpec
from ml_platform.errors import LakeError
from ml_platform.gateways.lake import Lake
from ml_platform.replay.first import FirstModel, score
from ml_platform.replay.monthly import MonthlyModels
from ml_platform.scoring.encoding import OUTPUT

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

PLATFORM, STATIC, MONTHLY = "platform", "first_model", "monthly"
ARMS = {
    PLATFORM: "with the platform",
    STATIC: "the first model left alone",
    MONTHLY: "retrained every month",
}

ANSWERED = "answered"
"""The column of what the endpoint answered, where events and answers are joined."""

LEAD_DAYS = 1
"""An event is asked about at most this many days before its day."""

Progress = Callable[[str], None]


@dataclass(frozen=True)
class Scored:
    """The labelled events of the replay, by day: labels [n], days as ISO text [n], probabilities [n] of each arm."""

    day: "np.ndarray"
    label: "np.ndarray"
    scores: "dict[str, np.ndarray]"


def score_arms(
    lake: Lake,
    product: ProductSpec,
    days: Days,
    first: FirstModel,
    threads: int,
    models: MonthlyModels,
    progress: Progress,
) -> Scored:
    """Score the labelled events of `days` in each arm.

    An event without a label, or that the endpoint never answered, is in no arm: all are judged on the same rows.
    Raises LakeError when no event has both.
    """
    import numpy as np

    progress("Read the events and what the endpoint answered")
    events, platform = _answered_events(lake, product, days)
    progress("Score them with the first model")
    static = first.score(events, threads)
    monthly, day = static.copy(), events[PARTITION_COLUMN].astype(str).to_numpy().astype("U10")
    # In its first month this arm has the first model.
    for month, directory in models.directories(days):
        progress(f"Score those of {month} with its own model")
        (mine,) = np.char.startswith(day, month).nonzero()
        if len(mine):
            monthly[mine] = score(directory, events.take(mine), threads)
    return Scored(
        day=day,
        label=events[product.model.label].to_numpy().astype("int8"),
        scores={PLATFORM: platform, STATIC: static, MONTHLY: monthly},
    )


def _answered_events(lake: Lake, product: ProductSpec, days: Days) -> "tuple[pd.DataFrame, np.ndarray]":
    """The labelled events that the endpoint answered, in order, and the first answer to each."""
    key, label = list(product.features.primary_key), product.model.label
    answers = _frame(lake, keys.monitoring(product.name, "inference_log"), _asked_on(days))
    answers = answers.sort_values(["logged_at", "prediction_id"]).drop_duplicates(key)
    answers = answers.assign(**{ANSWERED: answers[OUTPUT]})[[*key, ANSWERED]]
    events = _frame(lake, keys.features(product.name), days).dropna(subset=[label])
    found = events.merge(answers, on=key)
    if found.empty:
        raise LakeError(f"no event from {days.start} to {days.end} has a label and an answer: replay them first")
    found = found.sort_values([PARTITION_COLUMN, *key], ignore_index=True)
    return found, found[ANSWERED].to_numpy().astype("float64")


def _asked_on(days: Days) -> Days:
    return Days((date.fromisoformat(days.start) - timedelta(days=LEAD_DAYS)).isoformat(), days.end)


def _frame(lake: Lake, path: AssetPath, days: Days) -> "pd.DataFrame":
    start, end = (date.fromisoformat(day) for day in (days.start, days.end))
    bounds = [(PARTITION_COLUMN, ">=", start), (PARTITION_COLUMN, "<=", end)]
    return lake.open_table(path).to_pyarrow_table(filters=bounds).to_pandas()
