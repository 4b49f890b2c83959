"""Measures each day's predictions against their ground truth, with intervals, and keeps every earlier result."""

from datetime import date
from typing import TYPE_CHECKING, Any

from pyspark.sql import functions as F
from pyspark.sql.window import Window

from dbx_jobs.contract import PARTITION_COLUMN, Days, TableReport
from dbx_jobs.days import each_day, earlier
from dbx_jobs.delta import read_days
from dbx_jobs.errors import DataError
from dbx_jobs.ledger import KNOWN_AT, record
from dbx_jobs.metrics import Estimate, RankSums, average_precision, mean, roc_auc, share
from dbx_jobs.monitoring_contract import PerformanceRequest
from dbx_jobs.monitoring_table import replace_days
from dbx_jobs.runtime import run_job

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame, Row, SparkSession

METRICS = ("roc_auc", "average_precision", "log_loss", "brier", "base_rate", "mean_prediction")
SUFFIXES = ("", "_low", "_high")
METRIC_COLUMNS = tuple(f"{metric}{suffix}" for metric in METRICS for suffix in SUFFIXES)
COUNTS = ("rows bigint", "labelled bigint", "final boolean", "model_version string")
"""`model_version` is that of all of the day's predictions, null when several versions made them."""
FIGURES = ", ".join([*COUNTS, *(f"{name} double" for name in METRIC_COLUMNS)])
DECIMALS = 12
"""Of every sum and metric. Sail reads a double that is the only value of its file from the file's statistics, and these
are exact to about 15 digits only."""
CLIP = 1e-7
"""Probabilities are kept this far from 0 and 1 in the log loss, as in training."""


def build_performance(spark: "SparkSession", request: PerformanceRequest) -> TableReport:
    """Replace the days' rows of metrics; `extra` has them by day, with their `revision` in the ledger.

    A day without predictions is not final. The ledger is written first: it has whatever the table ever shows.
    """
    truth = read_days(spark, request.ground_truth.uri, request.days, request.ground_truth.version)
    logged_on = Days(earlier(request.days.start, request.lead_days), request.days.end)
    log = read_days(spark, request.inference_log.uri, logged_on, request.inference_log.version)
    if KNOWN_AT not in truth.columns:
        raise DataError(f"{request.ground_truth.uri} has no column {KNOWN_AT!r}; build the ground truth again")
    sums = day_sums(scores(scored(truth, log, request.label)))
    found = {str(row[PARTITION_COLUMN]): row for row in sums.collect()}
    for day, row in found.items():
        _refuse_unfit(day, row, request)
    measured = {day: measure(found.get(day), request.confidence) for day in each_day(request.days)}
    known_at = {day: row["known_at"] for day, row in found.items()}
    ledger = request.ledger_uri or f"{request.table_uri}_ledger"
    revisions = record(spark, ledger, request.days, FIGURES, measured, known_at)
    rows = [(date.fromisoformat(day), *values.values()) for day, values in measured.items()]
    table = spark.createDataFrame(rows, f"{PARTITION_COLUMN} date, {FIGURES}")
    extra = {day: values | {"revision": revisions[day]} for day, values in measured.items()}
    return replace_days(spark, table, request.table_uri, request.days, extra=extra)


def scored(truth: "DataFrame", log: "DataFrame", label: str) -> "DataFrame":
    """One row a prediction with ground truth: day (of the event), final, known_at (microseconds), label, and from the
    log, null where it is not there: probability and model_version.
    """
    joined = truth.join(log.select("prediction_id", "probability", "model_version"), "prediction_id", "left")
    label_column, known_at = F.col(label).alias("label"), F.unix_micros("known_at").alias("known_at")
    return joined.select(PARTITION_COLUMN, "final", known_at, label_column, "probability", "model_version")


def scores(rows: "DataFrame") -> "DataFrame":
    """Rows counted by score: equal scores share a rank, so that ties cost nothing and count half, as they must."""
    counted = rows.groupBy(PARTITION_COLUMN, "probability").agg(
        F.min(F.col("final").cast("int")).alias("final"),
        F.max("known_at").alias("known_at"),
        F.min("model_version").alias("first_version"),
        F.max("model_version").alias("last_version"),
        F.count(F.lit(1)).alias("rows"),
        F.count("label").alias("labelled"),
        F.count_if(F.col("label") == 1).alias("pos"),
        F.count_if(F.col("label") == 0).alias("neg"),
    )
    day = Window.partitionBy(PARTITION_COLUMN)
    up_to = day.orderBy("probability").rowsBetween(Window.unboundedPreceding, Window.currentRow)
    return counted.select(
        "*",
        (F.sum("neg").over(up_to) - F.col("neg")).alias("neg_below"),
        (F.sum("neg").over(day) - F.sum("neg").over(up_to)).alias("neg_above"),
        (F.sum("pos").over(day) - F.sum("pos").over(up_to)).alias("pos_above"),
    )


def day_sums(counted: "DataFrame") -> "DataFrame":
    """A row a day of sums that do not depend on the order of rows: of whole numbers and of decimals, not of doubles."""
    p = F.col("probability")
    clipped = F.greatest(F.lit(CLIP), F.least(F.lit(1 - CLIP), p))
    of_positive = {"log_loss": -F.log(clipped), "brier": (1 - p) * (1 - p), "prediction": p}
    of_negative = {"log_loss": -F.log(1 - clipped), "brier": p * p, "prediction": p}
    ranks = counted.withColumns(
        {"up": 2 * F.col("neg_below") + F.col("neg"), "down": 2 * F.col("pos_above") + F.col("pos")}
    )
    found = F.col("pos_above") + F.col("pos")
    # Scores without a label at or above them have no positive either, so that what is null here counts for nothing.
    precision = F.coalesce(found / F.nullif(found + F.col("neg_above") + F.col("neg"), F.lit(0)), F.lit(0.0))
    return ranks.groupBy(PARTITION_COLUMN).agg(
        F.min("final").alias("final"),
        F.max("known_at").alias("known_at"),
        F.min("first_version").alias("first_version"),
        F.max("last_version").alias("last_version"),
        *(F.sum(name).alias(name) for name in ("rows", "labelled", "pos", "neg")),
        F.sum(F.when(p.isNull(), F.col("rows")).otherwise(0)).alias("unlogged"),
        F.sum(F.col("pos") * F.col("up")).alias("placements"),
        F.sum(_whole("pos") * _whole("up") * _whole("up")).alias("up_squares"),
        F.sum(_whole("neg") * _whole("down") * _whole("down")).alias("down_squares"),
        F.sum(_times("pos", precision)).alias("precision"),
        *(_total(name, of_positive[name], of_negative[name]) for name in of_positive),
        *(_total(f"{name}_squares", of_positive[name] ** 2, of_negative[name] ** 2) for name in of_positive),
    )


def measure(row: "Row | None", confidence: float) -> dict[str, Any]:
    """The table's columns after `day`, from a day's sums (None: no predictions)."""
    if row is None:
        return {"rows": 0, "labelled": 0, "final": False, "model_version": None} | dict.fromkeys(METRIC_COLUMNS)
    positives, negatives, labelled = row["pos"], row["neg"], row["pos"] + row["neg"]
    ranks = RankSums(positives, negatives, row["placements"], int(row["up_squares"]), int(row["down_squares"]))
    means = {
        name: mean(float(row[name]), float(row[f"{name}_squares"]), labelled, confidence)
        for name in ("log_loss", "brier", "prediction")
    }
    estimates = {
        "roc_auc": roc_auc(ranks, confidence),
        "average_precision": average_precision(float(row["precision"]), positives, confidence),
        "log_loss": means["log_loss"],
        "brier": means["brier"],
        "base_rate": share(positives, labelled, confidence),
        "mean_prediction": means["prediction"],
    }
    metrics = {
        f"{name}{suffix}": value
        for name, e in estimates.items()
        for suffix, value in zip(SUFFIXES, _values(e), strict=True)
    }
    version = row["first_version"] if row["first_version"] == row["last_version"] else None
    counts = {"rows": row["rows"], "labelled": labelled, "final": bool(row["final"]), "model_version": version}
    return counts | metrics


def _refuse_unfit(day: str, row: "Row", request: PerformanceRequest) -> None:
    if row["unlogged"]:
        raise DataError(
            f"{request.ground_truth.uri}: {row['unlogged']} predictions of {day} are not in"
            f" {request.inference_log.uri}; the log was built again since, so build the ground truth of this day again"
        )
    if row["labelled"] != row["pos"] + row["neg"]:
        raise DataError(f"{request.ground_truth.uri}: {request.label!r} of {day} has values other than 0, 1 and null")


def _values(estimate: Estimate) -> tuple[float | None, ...]:
    found = (estimate.value, estimate.low, estimate.high)
    return tuple(None if value is None else round(value, DECIMALS) for value in found)


def _whole(name: str) -> "Column":
    return F.col(name).cast("decimal(12,0)")


def _times(count: str, value: "Column") -> "Column":
    return _whole(count) * value.cast(f"decimal(20,{DECIMALS})")


def _total(name: str, of_positive: "Column", of_negative: "Column") -> "Column":
    return F.sum(_times("pos", of_positive) + _times("neg", of_negative)).alias(name)


if __name__ == "__main__":
    run_job(PerformanceRequest, build_performance)
