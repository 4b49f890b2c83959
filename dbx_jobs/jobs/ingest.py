"""Ingest: landed CSV files become partitions of a Delta table; what does not fit goes to quarantine."""

from typing import TYPE_CHECKING

from dbx_jobs.contract import (
    PARTITION_COLUMN,
    IngestRequest,
    PartitionReport,
    RefusedPartition,
    SchemaColumn,
    TableReport,
)
from dbx_jobs.days import each_day
from dbx_jobs.delta import WriteResult, read_partitions, write_partitions
from dbx_jobs.expectations import Suite
from dbx_jobs.landed_partition import Outcome, check_request
from dbx_jobs.landing import landed_files
from dbx_jobs.outcome import outcome_frame, quarantine_of, rows_of, summaries_of
from dbx_jobs.repeats import judge_repeats
from dbx_jobs.runtime import materialized, run_job

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession


def ingest(spark: "SparkSession", request: IngestRequest) -> TableReport:
    """Replace the requested partitions by what their files hold; a partition with a broken file stays as it is.

    The quarantine is written first, so that a row that is missing in the table is always to be found there.
    """
    check_request(request)
    suite = Suite(request.expectations)
    daily = request.days is not None
    requested = each_day(request.days) if request.days else [None]
    with materialized(spark, outcome_frame(spark, request, landed_files(spark, request))) as outcome:
        summaries = summaries_of(outcome)
        refused = {day: reason for day in requested if (reason := _refusal(request, day, summaries.get(day)))}
        accepted = [day for day in requested if day not in refused]
        quarantine = write_partitions(spark, quarantine_of(outcome, request), request.quarantine_uri, requested, daily)
        written = write_partitions(spark, rows_of(outcome, request), request.table_uri, accepted, daily)
    table = read_partitions(spark, request.table_uri, accepted, written.version)
    quarantined = {p.partition: p.rows for p in quarantine.partitions}
    return TableReport(
        table_uri=request.table_uri,
        table_version=written.version,
        columns=_columns(request, table),
        partitions=_partitions(written, summaries, quarantined),
        refused=[RefusedPartition(day, reason) for day, reason in refused.items()],
        checks=[
            *suite.evaluate(table, request.key, accepted),
            *judge_repeats(spark, request, accepted, written.version),
        ],
        extra={
            "quarantine_version": quarantine.version,
            "quarantined": {str(d or ""): n for d, n in quarantined.items()},
        },
    )


def _refusal(request: IngestRequest, day: str | None, summary: Outcome | None) -> str | None:
    if summary is not None:
        return summary.refused
    where = f"{request.landing_uri}/{day}" if day else request.landing_uri
    return f"no file landed: there is no *.csv or *.csv.gz under {where}. Land it and ingest the partition again."


def _partitions(
    written: WriteResult, summaries: dict[str | None, Outcome], quarantined: dict[str | None, int]
) -> list[PartitionReport]:
    return [
        PartitionReport(
            partition=p.partition,
            rows=p.rows,
            data_version=p.fingerprint,
            changed=p.changed,
            files=summaries[p.partition].files,
            quarantined=quarantined[p.partition],
            duplicates=summaries[p.partition].duplicates,
        )
        for p in written.partitions
    ]


def _columns(request: IngestRequest, table: "DataFrame") -> list[SchemaColumn]:
    described = {column.name: column.description for column in request.columns}
    if request.event_time:
        described[request.event_time.column] = f"UTC instant of the local time in {request.event_time.timezone}"
    described[PARTITION_COLUMN] = "Day under which the row landed; the partition"
    return [SchemaColumn(f.name, f.dataType.simpleString(), described.get(f.name, "")) for f in table.schema.fields]


if __name__ == "__main__":
    run_job(IngestRequest, ingest)
