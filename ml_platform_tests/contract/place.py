"""A place where programs run, used as a stage uses it."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dagster as dg

from ml_platform.gateways.jobs import Jobs
from ml_platform_tests.contract.programs import Asked, PlacedProgram

PROGRAMS = "ml_platform_tests.contract"
SECONDS = 60


class Place:
    """Runs a program in an asset, as a stage runs it."""

    def __init__(self, jobs: Jobs, keeps_streams_apart: bool = True, programs: str = "programs") -> None:
        self.jobs, self._programs = jobs, programs
        self.keeps_streams_apart = keeps_streams_apart
        self.instance = dg.DagsterInstance.ephemeral()

    def run(self, way: str, place: Path | str = "") -> dict[str, Any]:
        """The report of the program that ends in this way."""
        program: Any = PlacedProgram(f"{PROGRAMS}.{'silent_program' if way == 'silent' else self._programs}")
        found: dict[str, Any] = {}

        @dg.asset
        def table(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
            found.update(self.jobs.run(context, program, Asked(way, "2013-01-01", str(place))))
            return dg.MaterializeResult()

        dg.materialize([table], instance=self.instance)
        return found

    def log(self) -> list[str]:
        """What the runs told."""
        runs = self.instance.get_runs()
        return [entry.user_message for run in runs for entry in self.instance.all_logs(run.run_id)]

    def materialised(self) -> bool:
        """Whether any run recorded that the table is there."""
        return self.instance.get_latest_materialization_event(dg.AssetKey("table")) is not None


def until(happened: Callable[[], bool], seconds: float = SECONDS) -> None:
    """Wait for something that takes less than `seconds`."""
    deadline = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)
