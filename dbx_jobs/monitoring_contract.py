"""What the monitoring jobs are asked: plain dataclasses, carried as JSON through Dagster Pipes."""

from dataclasses import dataclass
from typing import Any

from dbx_jobs.contract import Days, Roles, TableInput
from dbx_jobs.online_contract import COMPLETED

LOG_COLUMNS = ("prediction_id", "logged_at", "deployment", "model_version", "probability", COMPLETED)
"""The columns of an inference log besides `day`, the primary key, the event time and the features."""


@dataclass(frozen=True)
class InferenceLogRequest:
    """Turn the data collector's JSON lines into the partitions `days` of the inference log.

    Files lie at `<collector_uri>/<deployment>/<collection>/<yyyy>/<MM>/<dd>/<HH>/<instance>.jsonl`, in hours of UTC;
    `collector_uri` is that of one endpoint. A prediction's day is that of its output record's time in `timezone`. The
    types of the logged inputs are those of the table `features`. Lines that do not fit go to `quarantine_uri`.
    """

    collector_uri: str
    table_uri: str
    quarantine_uri: str
    features: TableInput
    roles: Roles
    timezone: str
    days: Days
    output: str = "probability"
    """The field of an output record that holds the predicted probability."""


@dataclass(frozen=True)
class GroundTruthRequest:
    """Join the predictions whose event falls on `days` (of `timezone`) with the labels of the feature table.

    A day is final once it has labels and the daily `watermark_table` has an event, by its column `watermark_column`,
    `maturity_days` or more after the day's end. Rows keep the watermark at which they became known. Predictions are
    logged at most `lead_days` days before the day of their event.
    """

    inference_log: TableInput
    features: TableInput
    table_uri: str
    roles: Roles
    watermark_table: TableInput
    watermark_column: str
    timezone: str
    maturity_days: int
    days: Days
    lead_days: int = 1


@dataclass(frozen=True)
class ProfileRequest:
    """Count the inference log's partitions `days` in the bins of `baseline`, the content of baseline.json.

    `model_version` is the version that the baseline belongs to: predictions are counted of that version only, features
    of every logged row.
    """

    inference_log: TableInput
    table_uri: str
    baseline: dict[str, Any]
    model_version: str
    days: Days


@dataclass(frozen=True)
class PerformanceRequest:
    """Measure the predictions on the events of `days` against their ground truth, with intervals of `confidence`.

    `table_uri` holds the newest figures of each day; `ledger_uri` (empty: `<table_uri>_ledger`) each revision of them.
    """

    inference_log: TableInput
    ground_truth: TableInput
    table_uri: str
    label: str
    days: Days
    lead_days: int = 1
    confidence: float = 0.95
    ledger_uri: str = ""
