"""Computes again offline what the endpoint looked up for each prediction, and tells which values differ."""

import json
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack
from functools import reduce
from typing import TYPE_CHECKING, Any

from pyspark.sql import functions as F

from dbx_jobs.contract import PARTITION_COLUMN, Days, EventTime, TableReport
from dbx_jobs.days import each_day
from dbx_jobs.delta import read_days
from dbx_jobs.jobs.online_features import columns_of_request, groups_of, read_sources
from dbx_jobs.monitoring_table import replace_days
from dbx_jobs.online_contract import COMPLETED, OnlineCheckRequest, OnlineTable
from dbx_jobs.runtime import materialized, run_job
from dbx_jobs.transform import Transform, load_transform

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame, SparkSession

DIFFERENCES = (
    f"{PARTITION_COLUMN} date, prediction_id string, feature string, online string, offline string, as_of timestamp"
)
Snapshots = list[str]


def check_online(spark: "SparkSession", request: OnlineCheckRequest) -> TableReport:
    """Replace the days' differences: a row for each value that was looked up and is another one offline.

    A value that counted as missing must have been logged as null; one that the caller sent is not compared. `extra` has
    of each day the `completed` predictions, how many had something `missing`, the number of `differing` values by
    feature, and an `example` of each.
    """
    table, transform = request.table, load_transform(spark, request.table.transform)
    log = read_days(spark, request.inference_log.uri, request.days, request.inference_log.version)
    with ExitStack() as kept:
        logged = kept.enter_context(materialized(spark, log.where(F.col(COMPLETED).isNotNull())))
        frames = [
            kept.enter_context(materialized(spark, found)) for found in _compared(spark, table, transform, logged, kept)
        ]
        nothing = spark.createDataFrame([], DIFFERENCES)
        found = reduce(lambda one, other: one.unionByName(other), frames, nothing)
        with materialized(spark, found) as differences:
            extra = _summaries(logged, differences, each_day(request.days))
            return replace_days(spark, differences, request.table_uri, request.days, extra=extra)


def _compared(
    spark: "SparkSession", table: OnlineTable, transform: Transform, logged: "DataFrame", kept: ExitStack
) -> "Iterator[DataFrame]":
    """The differences of the predictions that read the same versions of the same days: one computation for each."""
    features = [name for group in groups_of(table, transform) for name in group.features]
    wanted = [name for name in (*columns_of_request(table, transform), *features) if name in logged.columns]
    for (until, sources), snapshots in _snapshots(logged).items():
        frames = read_sources(spark, table, json.loads(sources), Days(until, until))
        of_them = logged.where(F.get_json_object(COMPLETED, "$.snapshot").isin(snapshots))
        asks = _asks(of_them, frames[table.asked_of], table)
        found = transform.ask(frames, lambda frame: kept.enter_context(materialized(spark, frame)), asks)
        yield _differences(of_them, found.select("ask_id", *wanted), wanted)


def _snapshots(logged: "DataFrame") -> dict[tuple[str, str], Snapshots]:
    """The snapshots that were used, as they stand in the log, by what they were made of."""
    found: dict[tuple[str, str], Snapshots] = defaultdict(list)
    for (text,) in logged.select(F.get_json_object(COMPLETED, "$.snapshot")).distinct().collect():
        snapshot = json.loads(text)
        found[snapshot["until"], json.dumps(snapshot["sources"], sort_keys=True)].append(text)
    return found


def _asks(logged: "DataFrame", asked_of: "DataFrame", table: OnlineTable) -> "DataFrame":
    """The requests of the predictions as rows of the source, asked about as of their snapshots."""
    types = dict(asked_of.dtypes)
    sent = {name: f"CAST(get_json_object({COMPLETED}, '$.request.{name}') AS {types[name]})" for name in table.request}
    sent |= _wall_clock(sent[table.event_time.column], table.event_time)
    return logged.selectExpr(
        "prediction_id AS ask_id",
        f"timestamp_seconds(CAST(get_json_object({COMPLETED}, '$.snapshot.as_of') AS bigint)) AS asked_at",
        *(f"CAST({sent.get(name, 'NULL')} AS {kind}) AS {name}" for name, kind in types.items()),
    )


def _wall_clock(instant: str, event_time: EventTime) -> dict[str, str]:
    """The day and the columns from which the source derives its event time, by SQL expressions."""
    local = f"from_utc_timestamp({instant}, '{event_time.timezone}')"
    parts = [f"year({local})", f"month({local})", f"dayofmonth({local})"]
    date = [f"to_date({local})"] if len(event_time.date) == 1 else parts
    time = f"hour({local}) * 100 + minute({local})" if event_time.time_format == "hhmm" else f"hour({local})"
    columns = dict(zip(event_time.date, date, strict=True))
    return {PARTITION_COLUMN: f"to_date({local})", **columns, event_time.time: time}


def _differences(logged: "DataFrame", found: "DataFrame", wanted: list[str]) -> "DataFrame":
    offline = found.select("ask_id", *(F.col(name).alias(f"offline_{name}") for name in wanted))
    both = logged.join(offline, logged["prediction_id"] == offline["ask_id"], "left")
    values = F.array(*(_value(name) for name in wanted))
    long = both.select(PARTITION_COLUMN, "prediction_id", COMPLETED, F.explode(values).alias("value"))
    as_of = f"timestamp_seconds(CAST(get_json_object({COMPLETED}, '$.snapshot.as_of') AS bigint)) AS as_of"
    differing = long.where("value.differs")
    return differing.selectExpr(
        PARTITION_COLUMN, "prediction_id", "value.feature", "value.online", "value.offline", as_of
    )


def _value(name: str) -> "Column":
    online, offline = F.col(name), F.col(f"offline_{name}")
    is_missing = F.get_json_object(COMPLETED, f"$.missing.{name}").isNotNull()
    given = F.coalesce(F.get_json_object(COMPLETED, "$.given"), F.lit("[]"))
    differs = F.when(is_missing, online.isNotNull()).otherwise(~online.eqNullSafe(offline))
    return F.struct(
        F.lit(name).alias("feature"),
        online.cast("string").alias("online"),
        F.when(~is_missing, offline.cast("string")).alias("offline"),
        (differs & ~given.contains(f'"{name}"')).alias("differs"),
    )


def _summaries(logged: "DataFrame", differences: "DataFrame", days: list[str]) -> dict[str, Any]:
    extra: dict[str, Any] = {day: {"completed": 0, "missing": 0, "differing": {}, "examples": {}} for day in days}
    missing = F.count_if(F.get_json_object(COMPLETED, "$.missing").isNotNull())
    for row in (
        logged.groupBy(PARTITION_COLUMN).agg(F.count("prediction_id").alias("rows"), missing.alias("missing")).collect()
    ):
        extra[str(row[PARTITION_COLUMN])] |= {"completed": row["rows"], "missing": row["missing"]}
    example = F.min(F.struct("prediction_id", "online", "offline")).alias("example")
    counted = differences.groupBy(PARTITION_COLUMN, "feature").agg(F.count("prediction_id").alias("rows"), example)
    for row in counted.collect():
        told = extra[str(row[PARTITION_COLUMN])]
        told["differing"][row["feature"]] = row["rows"]
        told["examples"][row["feature"]] = (
            f"online {row['example']['online']}, offline {row['example']['offline']}"
            f" for prediction {row['example']['prediction_id']}"
        )
    return extra


if __name__ == "__main__":
    run_job(OnlineCheckRequest, check_online)
