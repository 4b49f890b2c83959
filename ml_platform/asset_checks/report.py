"""Outcomes as a table for a person and as a JUnit file for a CI server."""

from collections import Counter
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

from junitparser import Error, Failure, JUnitXml, Skipped, TestCase, TestSuite
from junitparser.junitparser import FinalResult
from rich.table import Table
from rich.text import Text

from ml_platform.asset_checks.outcomes import Outcome, State

COLOURS: dict[State, str] = {
    "passed": "green",
    "warned": "yellow",
    "failed": "bold red",
    "error": "bold red",
    "skipped": "dim",
}
STATES = tuple(COLOURS)


def table(outcomes: Sequence[Outcome]) -> Table:
    """One row a check."""
    shown = Table("asset", "check", "severity", "result", "evaluated", "failed", title_justify="left")
    shown.add_column("observed", overflow="fold")
    for outcome in outcomes:
        shown.add_row(
            outcome.asset,
            outcome.check,
            outcome.severity,
            Text(outcome.state, style=COLOURS[outcome.state]),
            str(len(outcome.reports)),
            str(len(outcome.failing)),
            Text(outcome.observed),
        )
    return shown


def sentence(outcomes: Sequence[Outcome]) -> str:
    """How many checks ended how."""
    counts = Counter(outcome.state for outcome in outcomes)
    return f"{len(outcomes)} checks: " + ", ".join(f"{counts[state]} {state}" for state in STATES if counts[state])


def write_junit(outcomes: Sequence[Outcome], path: Path) -> None:
    """One test suite an asset, one test case a check. A failed WARN check passes and says so in its output."""
    document = JUnitXml("ml-platform check-assets")
    for asset, checks in groupby(outcomes, key=lambda outcome: outcome.asset):
        suite = TestSuite(asset)
        suite.add_testcases([_case(outcome) for outcome in checks])
        document.add_testsuite(suite)
    path.parent.mkdir(parents=True, exist_ok=True)
    document.write(str(path), pretty=True)


def _case(outcome: Outcome) -> TestCase:
    case = TestCase(outcome.check, classname=outcome.asset, time=0)
    case.result = list(_results(outcome))
    if outcome.failing:
        case.system_out = "\n".join(
            f"{report.severity} {report.partition or 'table'}: {report.observed} {', '.join(report.failing)}".strip()
            for report in outcome.failing
        )
    return case


def _results(outcome: Outcome) -> list[FinalResult]:
    match outcome.state:
        case "error":
            return [Error(outcome.observed, "cannot be evaluated")]
        case "failed":
            return [Failure(outcome.observed, "failed ERROR check")]
        case "skipped":
            return [Skipped(outcome.observed)]
    return []
