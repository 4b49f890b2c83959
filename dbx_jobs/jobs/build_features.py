"""Build features: the declared transformation computes days of a feature table from sources at pinned versions."""

from contextlib import ExitStack
from typing import TYPE_CHECKING

from pyspark.errors import PySparkException
from pyspark.sql import functions as F

from dbx_jobs.contract import (
    PARTITION_COLUMN,
    Days,
    FeaturesRequest,
    PartitionReport,
    SchemaColumn,
    TableInput,
    TableReport,
)
from dbx_jobs.days import chunks, each_day, earlier
from dbx_jobs.delta import WriteResult, pinned, read_days, read_table, write_partitions
from dbx_jobs.errors import DataError
from dbx_jobs.expectations import Suite
from dbx_jobs.runtime import materialized, run_job
from dbx_jobs.transform import Transform, load_transform

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

DAYS_AT_ONCE = 31
"""A longer range is computed and committed in parts: memory stays bounded, and time grows with the days alone."""


def build_features(spark: "SparkSession", request: FeaturesRequest) -> TableReport:
    """Compute and replace the requested days of the feature table; days whose content is the same are not written."""
    suite = Suite(request.expectations)
    transform = load_transform(spark, request.transform)
    sources = {name: pinned(spark, name, source) for name, source in request.sources.items()}
    written = [_build(spark, request, transform, sources, part) for part in chunks(request.days, DAYS_AT_ONCE)]
    version = written[-1].version
    table = read_days(spark, request.table_uri, request.days, version)
    return TableReport(
        table_uri=request.table_uri,
        table_version=version,
        columns=_columns(table, transform),
        partitions=[
            PartitionReport(partition=p.partition, rows=p.rows, data_version=p.fingerprint, changed=p.changed)
            for part in written
            for p in part.partitions
        ],
        checks=suite.evaluate(table, request.primary_key, each_day(request.days)),
        extra={"source_versions": {name: source.version for name, source in sources.items()}},
    )


def _build(
    spark: "SparkSession", request: FeaturesRequest, transform: Transform, sources: dict[str, TableInput], days: Days
) -> WriteResult:
    """Compute and commit one part of the range."""
    read = Days(earlier(days.start, request.look_back_days), days.end)
    frames = {
        name: read_days(spark, source.uri, read, source.version)
        if source.daily
        else read_table(spark, source.uri, source.version)
        for name, source in sources.items()
    }
    with ExitStack() as kept:
        features = transform.apply(frames, days, lambda frame: kept.enter_context(materialized(spark, frame)))
        first, last = (F.lit(day).cast("date") for day in (days.start, days.end))
        wanted = features.where(F.col(PARTITION_COLUMN).isNull() | F.col(PARTITION_COLUMN).between(first, last))
        try:
            computed = kept.enter_context(materialized(spark, wanted))
        except PySparkException:
            _check_schema(request, features)
            raise
        # Asked of what is computed: to ask it of the transformation is to plan it twice.
        _check_schema(request, computed)
        _check_key(request, computed)
        return write_partitions(spark, computed, request.table_uri, each_day(days))


def _check_schema(request: FeaturesRequest, features: "DataFrame") -> None:
    types = {f.name: f.dataType.simpleString() for f in features.schema.fields}
    needed = {PARTITION_COLUMN: "date", request.event_time: "timestamp"}
    for name in (PARTITION_COLUMN, request.event_time, *request.primary_key):
        if name not in types:
            raise DataError(f"{request.product}: the transformation gives no column {name!r}; it gives {sorted(types)}")
        if types[name] != needed.get(name, types[name]):
            raise DataError(f"{request.product}: column {name!r} is of type {types[name]}, not {needed[name]}")


def _check_key(request: FeaturesRequest, computed: "DataFrame") -> None:
    """Refuse rows without a day, key or event time, and keys that come twice among the days written together."""
    key = request.primary_key
    names = list(dict.fromkeys((PARTITION_COLUMN, *key, request.event_time)))
    missing = (F.count_if(F.col(name).isNull()) for name in names)
    [(rows, distinct, *nulls)] = computed.agg(F.count(F.lit(1)), F.count_distinct(*key), *missing).collect()
    for name, count in zip(names, nulls, strict=True):
        if count:
            raise DataError(
                f"{request.product}: {name!r} is null in {count} rows; every row of a feature table needs it"
            )
    if distinct != rows:
        repeated = computed.groupBy(*key).count().where("count > 1").orderBy(*key).limit(3).collect()
        examples = "; ".join(str(tuple(row)[:-1]) for row in repeated)
        raise DataError(f"{request.product}: the primary key {key} is not unique: {examples}")


def _columns(table: "DataFrame", transform: Transform) -> list[SchemaColumn]:
    described = transform.columns
    return [
        SchemaColumn(
            field.name,
            field.dataType.simpleString(),
            described[field.name].description if field.name in described else "",
            list(described[field.name].sources) if field.name in described else [],
        )
        for field in table.schema.fields
    ]


if __name__ == "__main__":
    run_job(FeaturesRequest, build_features)
