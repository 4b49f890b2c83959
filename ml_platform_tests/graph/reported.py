"""A place where jobs run that answers with what a test says they report, to test the graph around them."""

from collections.abc import Callable
from datetime import date, timedelta
from typing import Any

from dbx_jobs.contract import (
    CheckReport,
    Days,
    Expectation,
    FeaturesRequest,
    IngestRequest,
    PartitionReport,
    RefusedPartition,
    SchemaColumn,
    TableReport,
    to_dict,
)
from dbx_jobs.online_contract import OnlineReport, OnlineRequest
from ml_platform.gateways.jobs import Program

REPEATS = "rows_are_new"
"""The check that the ingest makes itself where a source asks for it."""


class ReportedJobs:
    """Records each request and reports `answers[program](request)`."""

    def __init__(self, **answers: Callable[[Any], Any]) -> None:
        self.answers: dict[str, Callable[..., Any]] = dict(answers)
        self.requests: list[tuple[Program, Any]] = []

    def run(self, context: Any, program: Program, request: Any) -> dict[str, Any]:
        self.requests.append((program, request))
        return to_dict(self.answers[program.name](request))


def table_report(
    request: IngestRequest | FeaturesRequest,
    failed: dict[str | None, str] | None = None,
    refused: dict[str, str] | None = None,
) -> TableReport:
    """A report on the requested days, each with a data version of its own.

    `failed` names an ERROR check by the day that failed it, `refused` gives reasons by day; all else passed.
    """
    days = [day for day in days_in(request.days) if day not in (refused or {})]
    asked = [*request.expectations, *([Expectation(REPEATS, "")] if getattr(request, "new_within_days", 0) else [])]
    return TableReport(
        table_uri=request.table_uri,
        table_version=3,
        columns=[SchemaColumn("day", "date")],
        partitions=[PartitionReport(day, 9, f"content-of-{day}", True) for day in days],
        refused=[RefusedPartition(day, reason) for day, reason in (refused or {}).items()],
        checks=[_check(expectation, day, (failed or {}).get(day)) for expectation in asked for day in days],
    )


def online_report(request: OnlineRequest) -> OnlineReport:
    """A report on a store that tells of the end of the last day."""
    return OnlineReport(f"{request.until}T23:00:00+00:00", {"all": 1}, {"flights": 7}, f"as-of-{request.until}")


def days_in(days: Days | None) -> list[str | None]:
    """The partition keys of a request; [None] for a snapshot."""
    if days is None:
        return [None]
    start, end = date.fromisoformat(days.start), date.fromisoformat(days.end)
    return [(start + timedelta(days=n)).isoformat() for n in range((end - start).days + 1)]


def _check(expectation: Expectation, day: str | None, failed: str | None) -> CheckReport:
    if expectation.name == failed:
        return CheckReport(expectation.name, False, expectation.severity, day, "3 of 9 rows unexpected", ["x"])
    return CheckReport(expectation.name, True, expectation.severity, day)
