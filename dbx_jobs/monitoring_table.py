"""Replaces days of a monitoring table and reports on it: the last step of every monitoring job."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from dbx_jobs.contract import Days, PartitionReport, SchemaColumn, TableReport
from dbx_jobs.days import each_day
from dbx_jobs.delta import write_partitions

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession


def replace_days(
    spark: "SparkSession",
    frame: "DataFrame",
    uri: str,
    days: Days,
    *,
    duplicates: Mapping[str, int] | None = None,
    quarantined: Mapping[str, int] | None = None,
    extra: Mapping[str, Any] | None = None,
) -> TableReport:
    """Make `days` of the table at `uri` hold `frame`, which is read twice; the maps are by partition key."""
    result = write_partitions(spark, frame, uri, each_day(days))
    partitions = [
        PartitionReport(
            partition=written.partition,
            rows=written.rows,
            data_version=written.fingerprint,
            changed=written.changed,
            quarantined=(quarantined or {}).get(written.partition or "", 0),
            duplicates=(duplicates or {}).get(written.partition or "", 0),
        )
        for written in result.partitions
    ]
    columns = [SchemaColumn(field.name, field.dataType.simpleString()) for field in frame.schema.fields]
    return TableReport(uri, result.version, columns, partitions, extra=dict(extra or {}))
