"""Counts each day of the inference log in the bins of a model's baseline, all columns in one pass."""

from typing import TYPE_CHECKING

from pyspark.sql import functions as F

from dbx_jobs.baseline import PREDICTION, BinnedColumn, parse_baseline
from dbx_jobs.contract import PARTITION_COLUMN, TableReport
from dbx_jobs.days import each_day
from dbx_jobs.delta import read_days
from dbx_jobs.errors import DataError
from dbx_jobs.monitoring_contract import ProfileRequest
from dbx_jobs.monitoring_table import replace_days
from dbx_jobs.runtime import materialized, run_job

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame, SparkSession

CELLS = "column string, kind string, cell int, label string, baseline_count bigint, baseline_version string"
NO_CELL = -1


def build_profile(spark: "SparkSession", request: ProfileRequest) -> TableReport:
    """Replace the days' histograms; `extra` has of each day the rows and those of the baseline's model version."""
    columns = parse_baseline(request.baseline)
    log = read_days(spark, request.inference_log.uri, request.days, request.inference_log.version)
    with materialized(spark, count_cells(log, columns, request.model_version)) as counted:
        rows = complete(spark, request, columns, counted)
        totals = counted.groupBy(PARTITION_COLUMN, "column").agg(F.sum("count").alias("rows")).collect()
        sums = {(str(row[PARTITION_COLUMN]), row["column"]): row["rows"] for row in totals}
        extra = {
            day: {
                "rows": max((sums.get((day, column.name), 0) for column in columns), default=0),
                "of_baseline_version": sums.get((day, PREDICTION), 0),
            }
            for day in each_day(request.days)
        }
        with materialized(spark, rows) as table:
            return replace_days(spark, table, request.table_uri, request.days, extra=extra)


def count_cells(log: "DataFrame", columns: list[BinnedColumn], model_version: str) -> "DataFrame":
    """(day, column, cell, count) of every cell that has rows, in one aggregation over the log."""
    if missing := [column.name for column in columns if column.name not in {*log.columns, PREDICTION}]:
        raise DataError(
            f"the inference log has no column {missing}, which the baseline of version {model_version} has;"
            " build the log's days again, or train on the feature table as it is now"
        )
    cells = [
        F.struct(F.lit(column.name).alias("column"), _cell(column, model_version).alias("cell")) for column in columns
    ]
    long = log.select(PARTITION_COLUMN, F.explode(F.array(*cells)).alias("entry"))
    counted = long.where(F.col("entry.cell") != NO_CELL).groupBy(PARTITION_COLUMN, "entry.column", "entry.cell")
    return counted.agg(F.count(F.lit(1)).alias("count"))


def _cell(column: BinnedColumn, model_version: str) -> "Column":
    cell = column.cell(F.col(column.name if column.name != PREDICTION else "probability"))
    if column.name == PREDICTION:
        # Rows of another version say nothing about this model's output; about its inputs all rows do.
        cell = F.when(F.col("model_version") == model_version, cell)
    # Sail fails on an array whose structs differ in what may be null, so none may be.
    return F.coalesce(cell, F.lit(NO_CELL))


def complete(
    spark: "SparkSession", request: ProfileRequest, columns: list[BinnedColumn], counted: "DataFrame"
) -> "DataFrame":
    """The table's rows: every cell of every day beside its baseline, 0 where nothing was counted."""
    grid = [
        (column.name, column.kind, cell, label, count, request.model_version)
        for column in columns
        for cell, (label, count) in enumerate(zip(column.labels, column.counts, strict=True))
    ]
    days = spark.createDataFrame([(day,) for day in each_day(request.days)], "key string")
    days = days.select(F.col("key").cast("date").alias(PARTITION_COLUMN))
    cells = days.crossJoin(spark.createDataFrame(grid, CELLS))
    rows = cells.join(counted, [PARTITION_COLUMN, "column", "cell"], "left")
    return rows.select(
        *(PARTITION_COLUMN, "column", "kind", "cell", "label"),
        F.coalesce("count", F.lit(0).cast("bigint")).alias("count"),
        *("baseline_count", "baseline_version"),
    )


if __name__ == "__main__":
    run_job(ProfileRequest, build_profile)
