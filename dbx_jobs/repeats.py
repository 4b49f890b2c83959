"""Finds days whose rows were landed before under another date: a week sent twice, its dates rewritten."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pyspark.sql import functions as F

from dbx_jobs.contract import PARTITION_COLUMN, CheckReport, Days, IngestRequest
from dbx_jobs.days import earlier
from dbx_jobs.delta import read_days

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

ROWS_ARE_NEW = "rows_are_new"
MOST = 0.5
"""The share of a day's rows that one earlier day has from which on the day is a repeat of it."""


def judge_repeats(
    spark: "SparkSession", request: IngestRequest, days: Sequence[str | None], version: int
) -> list[CheckReport]:
    """A report for each of `days` of the table at `version`: ERROR where most of its rows are those of an earlier day.

    Rows are compared without their dates, with the `new_within_days` days before; with 0 nothing is asked or reported.
    """
    asked = [day for day in days if day is not None]
    if not asked or not request.new_within_days:
        return []
    seen = Days(earlier(min(asked), request.new_within_days), max(asked))
    rows = hashed(read_days(spark, request.table_uri, seen, version), request)
    found: dict[str, tuple[str, int, int]] = {}
    for day, before, shared, total in repeats(rows, asked, request.new_within_days).collect():
        if str(day) not in found or shared > found[str(day)][1]:
            found[str(day)] = (str(before), shared, total)
    return [_report(day, found.get(day)) for day in asked]


def hashed(table: "DataFrame", request: IngestRequest) -> "DataFrame":
    """The distinct rows of each day as (day, hash), their dates and event times left out."""
    event = request.event_time
    dates = {PARTITION_COLUMN, *request.partition_date, *((event.column, *event.date) if event else ())}
    content = F.xxhash64(*(F.col(f"`{name}`") for name in table.columns if name not in dates)).alias("hash")
    return table.select(PARTITION_COLUMN, content).distinct()


def repeats(rows: "DataFrame", days: Sequence[str], within: int) -> "DataFrame":
    """(day, before, shared, total) of each of `days` that shares MOST of its rows, or more, with a day before."""
    total = rows.groupBy(PARTITION_COLUMN).agg(F.count(F.lit(1)).alias("total"))
    later = rows.where(F.col(PARTITION_COLUMN).cast("string").isin(list(days)))
    before = rows.select(F.col(PARTITION_COLUMN).alias("before"), "hash")
    apart = F.datediff(PARTITION_COLUMN, "before").between(1, within)
    pairs = later.join(before, "hash").where(apart).groupBy(PARTITION_COLUMN, "before")
    shared = pairs.agg(F.count(F.lit(1)).alias("shared")).join(total, PARTITION_COLUMN)
    return shared.where(F.col("shared") >= MOST * F.col("total")).select(PARTITION_COLUMN, "before", "shared", "total")


def _report(day: str, repeat: tuple[str, int, int] | None) -> CheckReport:
    if repeat is None:
        return CheckReport(ROWS_ARE_NEW, True, "ERROR", day, "not the rows of an earlier day")
    before, shared, total = repeat
    observed = f"{shared} of {total} rows are those of {before} under another date; land the day's own file"
    return CheckReport(ROWS_ARE_NEW, False, "ERROR", day, observed)
