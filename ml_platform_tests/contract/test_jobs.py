"""A place where programs run gives the report of one that ended well, and the reason of one that did not."""

from dataclasses import dataclass
from typing import Any
from unittest.mock import Mock

import dagster as dg
import pytest

from ml_platform.errors import JobError
from ml_platform.gateways.jobs import SubprocessJobs

PROGRAM: Any = Mock(value="ml_platform_tests.contract.programs")


@dataclass(frozen=True)
class Asked:
    day: str


def run(way: str, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The report of the program, run in an asset as a stage runs it."""
    monkeypatch.setenv("WAY", way)
    found: dict[str, Any] = {}

    @dg.asset
    def table(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
        found.update(SubprocessJobs().run(context, PROGRAM, Asked("2013-01-01")))
        return dg.MaterializeResult()

    dg.materialize([table], instance=dg.DagsterInstance.ephemeral())
    return found


def test_a_program_is_asked_and_its_report_comes_back(monkeypatch):
    assert run("reports", monkeypatch) == {"asked": {"day": "2013-01-01"}}


def test_what_a_program_refused_is_the_error(monkeypatch):
    with pytest.raises(JobError, match="flights.csv, line 7: no such day"):
        run("refuses", monkeypatch)


def test_a_program_that_ended_well_without_a_report_failed(monkeypatch):
    with pytest.raises(JobError, match="0 reports instead of one: nothing is recorded"):
        run("silent", monkeypatch)


def test_a_killed_program_failed(monkeypatch):
    with pytest.raises(JobError, match="killed or ended without a word"):
        run("dies", monkeypatch)
