"""Joins logged predictions with the labels that have arrived: since when each is known, and which days are final."""

from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from pyspark.sql import functions as F
from pyspark.sql.window import Window

from dbx_jobs.contract import PARTITION_COLUMN, Days, TableReport
from dbx_jobs.days import each_day, earlier
from dbx_jobs.delta import read_days, read_table, table_version
from dbx_jobs.errors import DataError
from dbx_jobs.monitoring_contract import GroundTruthRequest
from dbx_jobs.monitoring_table import replace_days
from dbx_jobs.runtime import materialized, run_job

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession


def build_ground_truth(spark: "SparkSession", request: GroundTruthRequest) -> TableReport:
    """Replace the days of the ground truth.

    `extra` has of each day: predictions, labelled, final, and the watermark of this run, which may be later than that
    at which the rows became known.
    """
    watermark = read_watermark(spark, request)
    logged_on = Days(earlier(request.days.start, request.lead_days), request.days.end)
    predictions = read_days(spark, request.inference_log.uri, logged_on, request.inference_log.version)
    labels = read_days(spark, request.features.uri, request.days, request.features.version)
    matured = {day for day in each_day(request.days) if watermark and is_mature(day, watermark, request)}
    joined = join_labels(predictions, labels, request, matured)
    dated = date_rows(joined, read_known(spark, request), request.roles.label, watermark)
    with materialized(spark, dated) as rows:
        counts = _counts(rows, request)
        extra = {
            day: counts.get(day, {"predictions": 0, "labelled": 0, "final": False})
            | {"watermark": watermark.isoformat() if watermark else None}
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
    latest = F.max(F.unix_timestamp(column))
    # The latest event lies on the latest day: all days are read only where none of those asked for has come.
    recent = frame.where(F.col(PARTITION_COLUMN) >= F.lit(request.days.start).cast("date"))
    seconds = recent.select(latest).collect()[0][0] or frame.select(latest).collect()[0][0]
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)


def is_mature(day: str, watermark: datetime, request: GroundTruthRequest) -> bool:
    """Whether `maturity_days` whole days of the product's time zone lie between the end of `day` and the watermark."""
    matured = date.fromisoformat(day) + timedelta(days=1 + request.maturity_days)
    return watermark >= datetime.combine(matured, time(), ZoneInfo(request.timezone)).astimezone(UTC)


def read_known(spark: "SparkSession", request: GroundTruthRequest) -> "DataFrame | None":
    """What the table holds of the days already, None where there is no table."""
    if table_version(spark, request.table_uri) is None:
        return None
    return read_days(spark, request.table_uri, request.days)


def join_labels(
    predictions: "DataFrame", labels: "DataFrame", request: GroundTruthRequest, matured: set[str]
) -> "DataFrame":
    """One row a prediction: day (of the event), prediction_id, key, event time, label (null: not there), final.

    A day is final when it is `matured` and has a label at all: one whose labels are missing stays provisional, however
    far other days have come.
    """
    roles = request.roles
    first, last = (F.lit(day).cast("date") for day in (request.days.start, request.days.end))
    event_day = F.to_date(F.from_utc_timestamp(roles.event_time, request.timezone)).alias(PARTITION_COLUMN)
    events = predictions.select(event_day, "prediction_id", *roles.primary_key, roles.event_time)
    labels = labels.select(PARTITION_COLUMN, *roles.primary_key, roles.label)
    key = [PARTITION_COLUMN, *roles.primary_key]
    joined = events.where(F.col(PARTITION_COLUMN).between(first, last)).join(labels, key, "left")
    any_label = F.count(roles.label).over(Window.partitionBy(PARTITION_COLUMN)) > 0
    return joined.select(
        *(PARTITION_COLUMN, "prediction_id", *roles.primary_key, roles.event_time, roles.label),
        (F.col(PARTITION_COLUMN).cast("string").isin(sorted(matured)) & any_label).alias("final"),
    )


def date_rows(rows: "DataFrame", known: "DataFrame | None", label: str, watermark: datetime | None) -> "DataFrame":
    """`rows` with the watermarks at which they were first seen as they are, from `known`, what the table held before.

    `label_known_at` is that of the label (null: there is none), `known_at` that of label and finality. Both come from
    the data, not from a clock, so that a run that finds nothing new changes nothing.
    """
    micros = None if watermark is None else round(watermark.timestamp() * 1_000_000)
    now = F.timestamp_micros(F.lit(micros).cast("bigint"))
    labelled = F.col(label).isNotNull()
    if known is None:
        return rows.select("*", F.when(labelled, now).alias("label_known_at"), now.alias("known_at"))
    never = F.lit(None).cast("timestamp")
    label_known_at, known_at = (
        F.col(name) if name in known.columns else never for name in ("label_known_at", "known_at")
    )
    before = known.select(
        "prediction_id",
        F.col(label).alias("label_before"),
        F.col("final").alias("final_before"),
        label_known_at.alias("label_known_before"),
        known_at.alias("known_before"),
    )
    same_label = F.col(label).eqNullSafe(F.col("label_before"))
    same_row = same_label & F.col("final").eqNullSafe(F.col("final_before"))
    since = F.coalesce(F.when(same_label, F.col("label_known_before")), now)
    return rows.join(before, "prediction_id", "left").select(
        *rows.columns,
        F.when(labelled, since).alias("label_known_at"),
        F.coalesce(F.when(same_row, F.col("known_before")), now).alias("known_at"),
    )


def _counts(rows: "DataFrame", request: GroundTruthRequest) -> dict[str, dict[str, Any]]:
    counted = rows.groupBy(PARTITION_COLUMN).agg(
        F.count(F.lit(1)).alias("predictions"),
        F.count(request.roles.label).alias("labelled"),
        F.count_distinct("prediction_id").alias("ids"),
        F.bool_or("final").alias("final"),
    )
    counts: dict[str, dict[str, Any]] = {}
    for day, predictions, labelled, ids, final in counted.collect():
        if predictions != ids:
            raise DataError(
                f"{request.features.uri}: {predictions - ids} predictions of {day} have more than one label;"
                f" {request.roles.primary_key} must be unique in a day"
            )
        counts[str(day)] = {"predictions": predictions, "labelled": labelled, "final": final}
    return counts


if __name__ == "__main__":
    run_job(GroundTruthRequest, build_ground_truth)
