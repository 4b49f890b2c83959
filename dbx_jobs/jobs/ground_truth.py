"""Joins logged predictions with the labels that have arrived, and says which days are final."""

from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from pyspark.sql import functions as F

from dbx_jobs.contract import PARTITION_COLUMN, Days, TableReport
from dbx_jobs.days import each_day, earlier
from dbx_jobs.delta import read_days, read_table
from dbx_jobs.errors import DataError
from dbx_jobs.monitoring_contract import GroundTruthRequest
from dbx_jobs.monitoring_table import replace_days
from dbx_jobs.runtime import materialized, run_job

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession


def build_ground_truth(spark: "SparkSession", request: GroundTruthRequest) -> TableReport:
    """Replace the days of the ground truth; `extra` has predictions, labelled, final and watermark of each day."""
    watermark = read_watermark(spark, request)
    final = {day for day in each_day(request.days) if watermark and is_final(day, watermark, request)}
    logged_on = Days(earlier(request.days.start, request.lead_days), request.days.end)
    predictions = read_days(spark, request.inference_log.uri, logged_on, request.inference_log.version)
    labels = read_days(spark, request.features.uri, request.days, request.features.version)
    with materialized(spark, join_labels(predictions, labels, request, final)) as rows:
        counts = _counts(rows, request)
        extra = {
            day: {
                **counts.get(day, {"predictions": 0, "labelled": 0}),
                "final": day in final,
                "watermark": watermark.isoformat() if watermark else None,
            }
            for day in each_day(request.days)
        }
        return replace_days(spark, rows, request.table_uri, request.days, extra=extra)


def read_watermark(spark: "SparkSession", request: GroundTruthRequest) -> datetime | None:
    """The latest event time (UTC) that the watermark table has, None when it is empty."""
    table, column = request.watermark_table, request.watermark_column
    frame = read_table(spark, table.uri, table.version)
    if column not in frame.columns:
        raise DataError(f"{table.uri} has no column {column!r} to take the watermark from; it has {frame.columns}")
    # As seconds, since a collected timestamp comes in the time zone of the machine.
    seconds = frame.select(F.max(F.unix_timestamp(column))).collect()[0][0]
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)


def is_final(day: str, watermark: datetime, request: GroundTruthRequest) -> bool:
    """Whether `maturity_days` whole days of the product's time zone lie between the end of `day` and the watermark."""
    matured = date.fromisoformat(day) + timedelta(days=1 + request.maturity_days)
    return watermark >= datetime.combine(matured, time(), ZoneInfo(request.timezone)).astimezone(UTC)


def join_labels(
    predictions: "DataFrame", labels: "DataFrame", request: GroundTruthRequest, final: set[str]
) -> "DataFrame":
    """One row a prediction: day (of the event), prediction_id, key, event time, label (null: not there), final."""
    roles = request.roles
    first, last = (F.lit(day).cast("date") for day in (request.days.start, request.days.end))
    event_day = F.to_date(F.from_utc_timestamp(roles.event_time, request.timezone)).alias(PARTITION_COLUMN)
    events = predictions.select(event_day, "prediction_id", *roles.primary_key, roles.event_time)
    labels = labels.select(PARTITION_COLUMN, *roles.primary_key, roles.label)
    key = [PARTITION_COLUMN, *roles.primary_key]
    joined = events.where(F.col(PARTITION_COLUMN).between(first, last)).join(labels, key, "left")
    return joined.select(
        *(PARTITION_COLUMN, "prediction_id", *roles.primary_key, roles.event_time, roles.label),
        F.col(PARTITION_COLUMN).cast("string").isin(sorted(final)).alias("final"),
    )


def _counts(rows: "DataFrame", request: GroundTruthRequest) -> dict[str, dict[str, int]]:
    counted = rows.groupBy(PARTITION_COLUMN).agg(
        F.count(F.lit(1)).alias("predictions"),
        F.count(request.roles.label).alias("labelled"),
        F.count_distinct("prediction_id").alias("ids"),
    )
    counts = {}
    for day, predictions, labelled, ids in counted.collect():
        if predictions != ids:
            raise DataError(
                f"{request.features.uri}: {predictions - ids} predictions of {day} have more than one label;"
                f" {request.roles.primary_key} must be unique in a day"
            )
        counts[str(day)] = {"predictions": predictions, "labelled": labelled}
    return counts


if __name__ == "__main__":
    run_job(GroundTruthRequest, build_ground_truth)
