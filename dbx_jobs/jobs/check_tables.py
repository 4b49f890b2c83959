"""Check tables: the declared expectations, evaluated on Delta tables as they stand, without writing anything."""

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from pyspark.sql import functions as F

from dbx_jobs.checked_days import checked_days
from dbx_jobs.checking_contract import CheckedTable, CheckTablesReport, CheckTablesRequest, TableToCheck
from dbx_jobs.contract import PARTITION_COLUMN, Days, IngestRequest, PartitionReport
from dbx_jobs.delta import read_partitions, read_table, table_version
from dbx_jobs.errors import DataError
from dbx_jobs.expectations import Suite
from dbx_jobs.landing import landed_files
from dbx_jobs.outcome import outcome_frame, summaries_of
from dbx_jobs.repeats import judge_repeats
from dbx_jobs.runtime import run_job

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession


def check_tables(spark: "SparkSession", request: CheckTablesRequest) -> CheckTablesReport:
    """Evaluate every table; one that cannot be evaluated is reported with its problem and stops no other."""
    return CheckTablesReport([_checked(spark, table) for table in request.tables])


def _checked(spark: "SparkSession", table: TableToCheck) -> CheckedTable:
    from pyspark.errors import PySparkException

    try:
        version = table_version(spark, table.uri)
        return CheckedTable(table.name, absent=True) if version is None else _evaluated(spark, table, version)
    except (DataError, PySparkException) as error:
        return CheckedTable(table.name, problem=str(error).strip().partition("\n")[0] or type(error).__name__)


def _evaluated(spark: "SparkSession", table: TableToCheck, version: int) -> CheckedTable:
    suite = Suite(table.expectations)
    days, missing = _days(spark, table, version) if table.daily else ([], [])
    partitions: list[str | None] = [*days] if table.daily else [None]
    rows = read_partitions(spark, table.uri, partitions, version)
    landed, unread = _landed(spark, table.ingest, days, table.daily) if table.ingest else ({}, "")
    counts = [_counts(rows, table.daily), _quarantined(spark, table, partitions), landed]
    return CheckedTable(
        name=table.name,
        version=version,
        partitions=[_report(partition, *counts) for partition in partitions],
        missing=missing,
        checks=[
            *suite.evaluate(rows, table.key, partitions),
            *(judge_repeats(spark, table.ingest, partitions, version) if table.ingest else []),
        ],
        unread=unread,
    )


def _days(spark: "SparkSession", table: TableToCheck, version: int) -> tuple[list[str], list[str]]:
    """The days to evaluate, and those asked for that have no row."""
    days = read_table(spark, table.uri, version).select(PARTITION_COLUMN).distinct().collect()
    return checked_days((str(day) for (day,) in days if day is not None), table.first, table.last)


def _quarantined(spark: "SparkSession", table: TableToCheck, partitions: list[str | None]) -> dict[str | None, int]:
    if not table.quarantine_uri:
        return {}
    if table_version(spark, table.quarantine_uri) is None:
        raise DataError(f"there is no quarantine at {table.quarantine_uri}: materialise {table.name} again")
    return _counts(read_partitions(spark, table.quarantine_uri, partitions), table.daily)


def _landed(
    spark: "SparkSession", ingest: IngestRequest, days: list[str], daily: bool
) -> tuple[dict[str | None, int], str]:
    """The exact duplicates that an ingest drops from what lies in the landing folder, or why that cannot be told."""
    if daily and not days:
        return {}, ""
    request = replace(ingest, days=Days(days[0], days[-1]) if daily else None)
    try:
        found = summaries_of(outcome_frame(spark, request, landed_files(spark, request)))
    except DataError as error:
        return {}, str(error)
    gone = [day or "the snapshot" for day in (days or [None]) if day not in found]
    unread = f"no file of {', '.join(gone[:5])} lies in {request.landing_uri} any more" if gone else ""
    return {day: summary.duplicates for day, summary in found.items()}, unread


def _counts(rows: "DataFrame", daily: bool) -> dict[str | None, int]:
    if not daily:
        return {None: rows.count()}
    return {str(day): count for day, count in rows.groupBy(F.col(PARTITION_COLUMN)).count().collect()}


def _report(
    partition: str | None,
    rows: Mapping[str | None, int],
    quarantined: Mapping[str | None, int],
    duplicates: Mapping[str | None, int],
) -> PartitionReport:
    counts = [found.get(partition, 0) for found in (rows, quarantined, duplicates)]
    return PartitionReport(partition, counts[0], "", False, quarantined=counts[1], duplicates=counts[2])


if __name__ == "__main__":
    run_job(CheckTablesRequest, check_tables)
