"""Computes again offline what the endpoint looked up for each prediction, and counts what differs by feature."""

import json
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import date
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

GRID = f"{PARTITION_COLUMN} date, feature string"
COUNTS = f"{GRID}, missing bigint, differing bigint"
EXAMPLE = ("prediction_id string", "online string", "offline string", "as_of timestamp")
Snapshots = list[str]


def check_online(spark: "SparkSession", request: OnlineCheckRequest) -> TableReport:
    """Replace the days' rows, one for each feature: of how many `completed` requests it was `missing` or `differing`.

    A value differs that was looked up and is another one offline; an example of it stands beside the count. A value
    that counted as missing must have been logged as null; one that the caller sent is not compared. `extra` has the
    rows of each day.
    """
    table, transform = request.table, load_transform(spark, request.table.transform)
    log = read_days(spark, request.inference_log.uri, request.days, request.inference_log.version)
    wanted = _wanted(table, transform)
    with ExitStack() as kept:
        logged = kept.enter_context(materialized(spark, log.where(F.col(COMPLETED).isNotNull())))
        frames = [
            kept.enter_context(materialized(spark, found))
            for found in _counted(spark, table, transform, logged, wanted, kept)
        ]
        nothing = spark.createDataFrame([], f"{COUNTS}, example struct<{', '.join(EXAMPLE)}>")
        counted = _sums(reduce(lambda one, other: one.unionByName(other), frames, nothing))
        with materialized(spark, _every(spark, request.days, wanted, logged, counted)) as rows:
            return replace_days(spark, rows, request.table_uri, request.days, extra=_by_day(rows))


def _wanted(table: OnlineTable, transform: Transform) -> list[str]:
    """What is looked up, and what is computed from the request alone."""
    features = [name for group in groups_of(table, transform) for name in group.features]
    return [*columns_of_request(table, transform), *features]


def _counted(
    spark: "SparkSession",
    table: OnlineTable,
    transform: Transform,
    logged: "DataFrame",
    wanted: list[str],
    kept: ExitStack,
) -> "Iterator[DataFrame]":
    """The counts of the predictions that read the same versions of the same days: one computation for each."""
    in_log = [name for name in wanted if name in logged.columns]
    for (until, sources), snapshots in _snapshots(logged).items():
        frames = read_sources(spark, table, json.loads(sources), Days(until, until))
        of_them = logged.where(F.get_json_object(COMPLETED, "$.snapshot").isin(snapshots))
        asks = _asks(of_them, frames[table.asked_of], table)
        found = transform.ask(frames, lambda frame: kept.enter_context(materialized(spark, frame)), asks)
        yield _compared(of_them, found.select("ask_id", *in_log), in_log)


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


def _compared(logged: "DataFrame", found: "DataFrame", wanted: list[str]) -> "DataFrame":
    offline = found.select("ask_id", *(F.col(name).alias(f"offline_{name}") for name in wanted))
    both = logged.join(offline, logged["prediction_id"] == offline["ask_id"], "left")
    values = F.array(*(_value(name) for name in wanted))
    long = both.select(PARTITION_COLUMN, "prediction_id", COMPLETED, F.explode(values).alias("value"))
    as_of = f"timestamp_seconds(CAST(get_json_object({COMPLETED}, '$.snapshot.as_of') AS bigint)) AS as_of"
    example = f"struct(prediction_id, value.online, value.offline, {as_of})"
    return long.groupBy(PARTITION_COLUMN, "value.feature").agg(
        F.count_if("value.missing").alias("missing"),
        F.count_if("value.differs").alias("differing"),
        F.min(F.when(F.col("value.differs"), F.expr(example))).alias("example"),
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
        is_missing.alias("missing"),
        (differs & ~given.contains(f'"{name}"')).alias("differs"),
    )


def _sums(counted: "DataFrame") -> "DataFrame":
    sums = (F.sum(name).alias(name) for name in ("missing", "differing"))
    return counted.groupBy(PARTITION_COLUMN, "feature").agg(*sums, F.min("example").alias("example"))


def _every(
    spark: "SparkSession", days: Days, wanted: list[str], logged: "DataFrame", counted: "DataFrame"
) -> "DataFrame":
    """A row for each feature and day, also where nothing was looked up."""
    grid = spark.createDataFrame([(date.fromisoformat(day), name) for day in each_day(days) for name in wanted], GRID)
    completed = logged.groupBy(PARTITION_COLUMN).agg(F.count("prediction_id").alias("completed"))
    rows = grid.join(completed, PARTITION_COLUMN, "left").join(counted, [PARTITION_COLUMN, "feature"], "left")
    return rows.select(
        PARTITION_COLUMN,
        "feature",
        *(F.coalesce(name, F.lit(0)).alias(name) for name in ("completed", "missing", "differing")),
        *(f"example.{column.split()[0]}" for column in EXAMPLE),
    )


def _by_day(rows: "DataFrame") -> dict[str, Any]:
    found: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in rows.drop("as_of").orderBy(PARTITION_COLUMN, "feature").collect():
        found[str(row[PARTITION_COLUMN])].append({k: v for k, v in row.asDict().items() if k != PARTITION_COLUMN})
    return dict(found)


if __name__ == "__main__":
    run_job(OnlineCheckRequest, check_online)
