"""The checks of lake and feature tables, and of every quarantine: one program evaluates them all."""

from collections.abc import Iterator, Sequence
from typing import Any

import dagster as dg

from dbx_jobs.checking_contract import CheckedTable, CheckTablesReport, CheckTablesRequest, TableToCheck
from dbx_jobs.contract import from_dict
from ml_platform.asset_checks.outcomes import Found
from ml_platform.asset_checks.products import Declared
from ml_platform.core import keys
from ml_platform.errors import JobError
from ml_platform.gateways.jobs import Jobs, Program
from ml_platform.gateways.lake import Lake
from ml_platform.stages.lake import ingest_request
from ml_platform.stages.table_asset import ROWS_ARE_DISTINCT, rows_are_distinct, rows_fit

Ends = tuple[str | None, str | None]
"""First and last day; None: the table's own."""


def tables_to_check(lake: Lake, declared: Declared, ends: Ends) -> Iterator[TableToCheck]:
    """The tables of a product that expectations or a quarantine speak about."""
    product, expectations = declared.product, declared.expectations
    for name, source in product.sources.items():
        path, daily = keys.lake(name), source.partitioning == "daily"
        yield TableToCheck(
            name="/".join(path),
            uri=lake.table(path),
            key=source.key,
            expectations=list(expectations.get("/".join(path), ())),
            daily=daily,
            first=ends[0] if daily else None,
            last=ends[1] if daily else None,
            quarantine_uri=lake.quarantine(name),
            ingest=ingest_request(lake, name, source, None, ()),
        )
    features, log = keys.features(product.name), keys.monitoring(product.name, "inference_log")
    checks = list(expectations.get("/".join(features), ()))
    key = list(product.features.primary_key)
    yield TableToCheck("/".join(features), lake.table(features), key, checks, True, *ends)
    quarantine = lake.quarantine(f"{product.name}_inference_log")
    yield TableToCheck("/".join(log), lake.table(log), key, [], True, *ends, quarantine_uri=quarantine)


def check_tables(jobs: Jobs, tables: Sequence[TableToCheck]) -> list[Found]:
    """What the program finds of `tables`; when it fails, that is the problem of each of them."""
    if not tables:
        return []
    try:
        report = from_dict(CheckTablesReport, _run(jobs, CheckTablesRequest(list(tables))))
    except JobError as error:
        return [Found(table.name, problem=str(error)) for table in tables]
    return [_found(found, table) for found, table in zip(report.tables, tables, strict=True)]


def _run(jobs: Jobs, request: CheckTablesRequest) -> dict[str, Any]:
    """Run the program as the step of a run that nobody keeps: the deployment's instance hears nothing of it."""
    reports: list[dict[str, Any]] = []

    @dg.asset
    def check_tables(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
        reports.append(jobs.run(context, Program.CHECK_TABLES, request))
        return dg.MaterializeResult()

    quiet = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
    with dg.DagsterInstance.ephemeral() as instance:
        dg.materialize([check_tables], instance=instance, run_config=quiet)
    return reports[0]


def _found(report: CheckedTable, table: TableToCheck) -> Found:
    if report.absent:
        return Found(table.name, absent=f"there is no table: materialise {table.name}")
    checks = list(report.checks)
    if table.quarantine_uri:
        checks += [rows_fit(partition, most="ERROR") for partition in report.partitions]
    if table.ingest and not report.unread:
        checks += map(rows_are_distinct, report.partitions)
    unknown = {ROWS_ARE_DISTINCT: report.unread} if report.unread else {}
    return Found(table.name, checks, report.problem or missing_days(report.missing), unknown=unknown)


def missing_days(days: Sequence[str]) -> str:
    """The problem that `days` were asked for and are not there; "" without any."""
    more = f" and {len(days) - 5} more" if len(days) > 5 else ""
    return f"no row of {', '.join(days[:5])}{more}: materialise it" if days else ""
