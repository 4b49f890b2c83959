"""Turns the data collector's JSON lines into daily partitions of a typed inference log."""

from typing import TYPE_CHECKING

from pyspark.sql import functions as F
from pyspark.sql import types as T
from pyspark.sql.window import Window

from dbx_jobs.collector import INPUTS, OUTPUTS, SLACK, files_of, hours_of, read_lines
from dbx_jobs.contract import PARTITION_COLUMN, TableReport
from dbx_jobs.days import each_day
from dbx_jobs.delta import read_table, write_partitions
from dbx_jobs.errors import DataError
from dbx_jobs.monitoring_contract import LOG_COLUMNS, InferenceLogRequest, Roles
from dbx_jobs.monitoring_table import replace_days
from dbx_jobs.online_contract import COMPLETED
from dbx_jobs.runtime import materialized, run_job

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame, SparkSession

OWN_NAMES = {*LOG_COLUMNS, "time", "file", "line", "value", "reason", "in_time", "in_file", "in_line", "out_file"}
NUMBERS = (T.ByteType, T.ShortType, T.IntegerType, T.LongType, T.FloatType, T.DoubleType)


def build_log(spark: "SparkSession", request: InferenceLogRequest) -> TableReport:
    """Replace the days of the log and of its quarantine with what the collector's files hold.

    A record is logged at least once, so an equal line is dropped; of different records with one prediction id the
    first counts. A prediction needs both halves (inputs and output), its key, its event time and a probability.
    """
    days, fields = each_day(request.days), logged_fields(spark, request)
    with materialized(spark, parsed_lines(spark, request, fields)) as lines:
        duplicates = {str(row[PARTITION_COLUMN]): row["rows"] for row in repeats_of(lines, request).collect()}
        with materialized(spark, predictions_of(lines, request, fields)) as predictions:
            unfit = write_partitions(spark, quarantine_of(lines, predictions, request), request.quarantine_uri, days)
            quarantined = {partition.partition or "": partition.rows for partition in unfit.partitions}
            rows = log_of(predictions, request, fields)
            return replace_days(
                spark, rows, request.table_uri, request.days, duplicates=duplicates, quarantined=quarantined
            )


def log_of(predictions: "DataFrame", request: InferenceLogRequest, fields: list[T.StructField]) -> "DataFrame":
    """The rows of the inference log."""
    inputs = [field.name for field in fields]
    return predictions.where("reason IS NULL").where(_wanted(request)).select(PARTITION_COLUMN, *LOG_COLUMNS, *inputs)


def quarantine_of(lines: "DataFrame", predictions: "DataFrame", request: InferenceLogRequest) -> "DataFrame":
    """What does not fit, in the shape of every quarantine; here it is never one column of a line."""
    columns = ("file", "line", F.lit(None).cast("string").alias("column"), "reason", "value")
    frames = (lines.where("copy = 1"), predictions)
    unfit, unusable = (frame.where("reason IS NOT NULL").select(PARTITION_COLUMN, *columns) for frame in frames)
    return unfit.unionByName(unusable).where(_wanted(request))


def repeats_of(lines: "DataFrame", request: InferenceLogRequest) -> "DataFrame":
    """How many lines (day, rows) repeat another."""
    return lines.where("copy > 1").where(_wanted(request)).groupBy(PARTITION_COLUMN).agg(F.count("line").alias("rows"))


def _wanted(request: InferenceLogRequest) -> "Column":
    first, last = (F.lit(day).cast("date") for day in (request.days.start, request.days.end))
    return F.col(PARTITION_COLUMN).between(first, last)


def logged_fields(spark: "SparkSession", request: InferenceLogRequest) -> list[T.StructField]:
    """Key, event time and features: what an input record carries, with the types of the feature table."""
    roles = request.roles
    left_out = {PARTITION_COLUMN, roles.label, roles.prediction_time}
    schema = read_table(spark, request.features.uri, request.features.version).schema
    fields = [field for field in schema.fields if field.name not in left_out]
    names = {field.name for field in fields}
    if missing := {*roles.primary_key, roles.event_time} - names:
        raise DataError(
            f"{request.features.uri} has no column {sorted(missing)}: correct the primary key or event time"
        )
    if clash := names & {*OWN_NAMES, request.output}:
        raise DataError(f"{request.features.uri}: {sorted(clash)} are names of the inference log's own; rename them")
    return fields


RECORD = T.StructType(
    [
        *(T.StructField(name, T.StringType()) for name in ("time", "correlationid", "modelversion")),
        T.StructField("data", T.ArrayType(T.StringType())),
    ]
)


def _read(name: str, kind: T.DataType) -> "Column":
    """A field of an entry's JSON text. Whole numbers may be written as 3.0, by clients with missing values.

    One by one: of a whole record Sail's from_json gives some doubles with another last bit.
    """
    text = F.get_json_object("entry", f"$['{name}']")
    return (text.try_cast(T.DoubleType()) if isinstance(kind, NUMBERS) else text).try_cast(kind)


def parsed_lines(spark: "SparkSession", request: InferenceLogRequest, fields: list[T.StructField]) -> "DataFrame":
    """Lines with their record, its time, their day, the reason, if any, why they cannot be used, and their `copy`.

    `copy` counts equal lines from 1.
    """
    whole = "record.data IS NOT NULL AND record.correlationid IS NOT NULL AND time IS NOT NULL"
    slack = f"INTERVAL {int(SLACK.total_seconds())} SECONDS"
    reason = (
        F.when(~F.expr(whole), F.lit("is no whole record of the data collector"))
        .when(F.expr(f"time < hour - {slack} OR time >= hour + INTERVAL 1 HOUR"), F.lit("is not of its folder's hour"))
        .otherwise(F.lit(None).cast("string"))
    )
    day = F.when(F.col("reason").isNull(), F.col("time")).otherwise(F.col("hour"))
    files = files_of(spark, request.collector_uri, hours_of(request.days, request.timezone))
    return (
        read_lines(spark, files)
        .withColumn("record", F.from_json("value", RECORD))
        .withColumn("time", F.expr("try_cast(record.time AS timestamp)"))
        .withColumn("reason", reason)
        .withColumn(PARTITION_COLUMN, _local_day(day, request.timezone))
        .withColumn("copy", _rank(["collection", PARTITION_COLUMN, "value"], ["file", "line"]))
    )


def predictions_of(lines: "DataFrame", request: InferenceLogRequest, fields: list[T.StructField]) -> "DataFrame":
    """The log's rows, and with a reason those that are none; `file`, `line` and `value` say where each is from."""
    entries = lines.where("copy = 1 AND reason IS NULL").select(
        *("collection", "deployment", "file", "line", "value", "time"),
        F.col("record.modelversion").alias("model_version"),
        F.col("record.correlationid").alias("request_id"),
        F.posexplode("record.data").alias("position", "parsed"),
    )
    entries = entries.withColumn("entry", _entry(_most(lines))).drop("parsed")
    entries = entries.withColumn("prediction_id", F.concat_ws("_", "request_id", "position"))
    entries = entries.withColumn("attempt", _rank(["collection", "prediction_id"], ["time", "value"]))
    joined = _joined(entries.where("attempt = 1"), fields, request.output)
    again = entries.where("attempt > 1").select(
        *("prediction_id", "file", "line", "value"),
        F.col("time").alias("logged_at"),
        F.lit("another record has its prediction id").alias("reason"),
    )
    known = joined.withColumn("reason", _unusable(request.roles)).drop("in_file", "out_file")
    rows = known.unionByName(again, allowMissingColumns=True)
    return rows.select(_local_day(F.col("logged_at"), request.timezone).alias(PARTITION_COLUMN), "*")


def _most(lines: "DataFrame") -> int:
    """The number of entries of the line that has most."""
    return lines.agg(F.max(F.size("record.data"))).collect()[0][0] or 0


def _entry(most: int) -> "Column":
    """The JSON text of the entry at `position` of a line."""
    texts = [f"WHEN {position} THEN get_json_object(value, '$.data[{position}]')" for position in range(most)]
    return F.expr(f"CASE position {' '.join(texts)} END" if texts else "CAST(NULL AS string)")


def _joined(entries: "DataFrame", fields: list[T.StructField], output: str) -> "DataFrame":
    """Inputs and outputs side by side; a half that is not there is null."""
    logged = [_read(field.name, field.dataType).alias(field.name) for field in fields]
    place = [F.col(name).alias(f"in_{name}") for name in ("time", "file", "line")]
    completed = _read(COMPLETED, T.StringType()).alias(COMPLETED)
    inputs = entries.where(F.col("collection") == INPUTS).select("prediction_id", completed, *place, *logged)
    outputs = entries.where(F.col("collection") == OUTPUTS).select(
        *("prediction_id", "time", "line", "deployment", "model_version"),
        F.col("file").alias("out_file"),
        _read(output, T.DoubleType()).alias("probability"),
    )
    return inputs.join(outputs, "prediction_id", "full").select(
        *("prediction_id", *(field.name for field in fields)),
        F.coalesce("time", "in_time").alias("logged_at"),
        *("deployment", "model_version", "probability", COMPLETED, "in_file", "out_file"),
        F.coalesce("out_file", "in_file").alias("file"),
        F.coalesce("line", "in_line").alias("line"),
        F.lit(None).cast("string").alias("value"),
    )


def _unusable(roles: Roles) -> "Column":
    """The reason why a joined row is no prediction, null where it is one."""
    reason = F.when(F.col("in_file").isNull(), F.lit(f"has no record in {INPUTS}"))
    reason = reason.when(F.col("out_file").isNull(), F.lit(f"has no record in {OUTPUTS}"))
    for name in (*roles.primary_key, roles.event_time):
        reason = reason.when(F.col(name).isNull(), F.lit(f"has no {name} in {INPUTS}"))
    outside = F.expr("probability IS NULL OR NOT probability BETWEEN 0 AND 1")
    return reason.when(outside, F.lit("has no probability from 0 to 1")).otherwise(F.lit(None).cast("string"))


def _rank(keys: list[str], order: list[str]) -> "Column":
    return F.row_number().over(Window.partitionBy(*keys).orderBy(*order))


def _local_day(instant: "Column", timezone: str) -> "Column":
    return F.to_date(F.from_utc_timestamp(instant, timezone))


if __name__ == "__main__":
    run_job(InferenceLogRequest, build_log)
