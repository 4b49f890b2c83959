"""Fills the online store: the feature table's own transformation, asked about each key as of one instant."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import asdict
from datetime import UTC, datetime
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from pyspark.sql import functions as F

from dbx_jobs.contract import PARTITION_COLUMN, Days
from dbx_jobs.days import earlier
from dbx_jobs.delta import pinned, read_days, read_table
from dbx_jobs.errors import DataError
from dbx_jobs.online_contract import SNAPSHOT, Group, OnlineReport, OnlineRequest, OnlineTable, Snapshot, row_name
from dbx_jobs.online_store import Row, replace_rows
from dbx_jobs.runtime import materialized, run_job
from dbx_jobs.transform import Transform, load_transform

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

KEY_TYPES = ("string", "int", "bigint")


def fill_store(spark: "SparkSession", request: OnlineRequest) -> OnlineReport:
    """Replace what the store holds, in one step."""
    table = request.table
    transform = load_transform(spark, table.transform)
    sources = {name: pinned(spark, name, source) for name, source in table.sources.items()}
    versions = {name: source.version or 0 for name, source in sources.items()}
    frames = read_sources(spark, table, versions, Days(request.until, request.until))
    as_of = _as_of(request, frames)
    groups = groups_of(table, transform)
    asks = _asks(spark, frames, table, groups, as_of)
    computed = {name: transform.columns[name].expression for name in columns_of_request(table, transform)}
    with ExitStack() as kept:
        found = transform.ask(frames, lambda frame: kept.enter_context(materialized(spark, frame)), asks)
        names = list(dict.fromkeys(name for group in groups for name in group.features))
        answers = kept.enter_context(materialized(spark, found.select("ask_id", *names)))
        rows = dict(_rows(answers, groups))
    fingerprint = sha256(json.dumps([sorted(rows.items()), computed]).encode()).hexdigest()[:24]
    snapshot = Snapshot(as_of, request.until, versions, fingerprint, computed, groups)
    replace_rows(request.store_uri, table.product, {**rows, SNAPSHOT: json.dumps(asdict(snapshot))}.items())
    at = datetime.fromtimestamp(as_of, UTC).isoformat()
    return OnlineReport(at, _counts(rows, groups), versions, fingerprint)


def read_sources(
    spark: "SparkSession", table: OnlineTable, versions: Mapping[str, int], days: Days
) -> "dict[str, DataFrame]":
    """The sources at `versions`, the daily ones with the look-back of `days`."""
    read = Days(earlier(days.start, table.look_back_days), days.end)
    return {
        name: read_days(spark, source.uri, read, versions[name])
        if source.daily
        else read_table(spark, source.uri, versions[name])
        for name, source in table.sources.items()
    }


def groups_of(table: OnlineTable, transform: Transform) -> list[Group]:
    """The features by the columns that they are looked up by."""
    found: dict[tuple[str, ...], list[str]] = {}
    for name, column in transform.columns.items():
        if column.by is not None:
            found.setdefault(tuple(column.by), []).append(name)
    if unknown := sorted({name for key in found for name in key} - set(table.request)):
        raise DataError(
            f"{table.product}: features are looked up by {unknown}, which are not in features.online.request:"
            f" {table.request}"
        )
    return [Group(list(key), features) for key, features in found.items()]


def columns_of_request(table: OnlineTable, transform: Transform) -> list[str]:
    """The columns of the feature table that are computed from a request alone."""
    roles = table.roles
    others = {PARTITION_COLUMN, roles.event_time, roles.prediction_time, roles.label}
    return [name for name, column in transform.columns.items() if column.by is None and name not in others]


def _as_of(request: OnlineRequest, frames: "Mapping[str, DataFrame]") -> int:
    if request.as_of is not None:
        return int(datetime.fromisoformat(request.as_of).timestamp())
    latest = []
    for name, column in request.event_times.items():
        [(seconds,)] = frames[name].select(F.max(F.unix_timestamp(column))).collect()
        if seconds is None:
            raise DataError(f"source {name} has no rows up to {request.until}: nothing can be told as of then")
        latest.append(seconds)
    return min(*latest, int(datetime.now(UTC).timestamp()))


def _asks(
    spark: "SparkSession", frames: "Mapping[str, DataFrame]", table: OnlineTable, groups: list[Group], as_of: int
) -> "DataFrame":
    """A row to ask for each key that is known, and for each group one without a key."""
    types = dict(frames[table.asked_of].dtypes)
    if wrong := {name: types[name] for group in groups for name in group.key if types[name] not in KEY_TYPES}:
        raise DataError(f"features are looked up by {wrong}: a key must be one of {KEY_TYPES}")
    used = sorted({name for group in groups for name in group.key})
    nothing = {name: f"CAST(NULL AS {types[name]}) AS {name}" for name in types}
    asks = spark.range(1).selectExpr(
        f"explode(array({', '.join(map(str, range(len(groups))))})) AS number", *(nothing[name] for name in used)
    )
    for frame in frames.values():
        known = {name for name, kind in frame.dtypes if types.get(name) == kind}
        held = [(number, group) for number, group in enumerate(groups) if group.key and known.issuperset(group.key)]
        if held:
            entries = [
                F.struct(
                    F.lit(number).alias("number"),
                    *(F.col(name) if name in group.key else F.expr(nothing[name]) for name in used),
                )
                for number, group in held
            ]
            asks = asks.unionByName(frame.select(F.explode(F.array(*entries)).alias("ask")).select("ask.*"))
    texts = [
        f"WHEN {number} THEN to_json(array({', '.join(f'CAST({name} AS string)' for name in group.key)}))"
        for number, group in enumerate(groups)
        if group.key
    ]
    key = f"CASE number {' '.join(texts)} ELSE '[]' END" if texts else "'[]'"
    return asks.distinct().selectExpr(
        f"concat(CAST(number AS string), {key}) AS ask_id",
        f"timestamp_seconds({as_of}) AS asked_at",
        *used,
        *(nothing[name] for name in types if name not in used),
    )


def _counts(rows: Mapping[str, str], groups: list[Group]) -> dict[str, int]:
    counted = Counter(int(name.partition("[")[0]) for name in rows)
    return {", ".join(group.key) or "all": counted[number] for number, group in enumerate(groups)}


def _rows(answers: "DataFrame", groups: list[Group]) -> Iterator[Row]:
    for row in answers.toLocalIterator():
        number, _, key = row["ask_id"].partition("[")
        group = groups[int(number)]
        values = [_plain(name, row[name]) for name in group.features]
        yield row_name(int(number), json.loads(f"[{key}")), json.dumps(values, allow_nan=False)


def _plain(name: str, value: Any) -> Any:
    if value is None or isinstance(value, (int, float, str)):
        return None if value != value else value
    raise DataError(f"feature {name!r} is a {type(value).__name__}: an online store holds numbers and strings")


if __name__ == "__main__":
    run_job(OnlineRequest, fill_store)
