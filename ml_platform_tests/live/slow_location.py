"""A code location of one slow table: a step that starts a job, as the platform's do, and waits for it.

The job writes its run to the journal when it begins, while it works and when it ends, which it does once it is let go.
"""

import time
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import dagster as dg
from dagster_pipes import open_dagster_pipes

from dbx_jobs.contract import REPORT_KEY
from ml_platform.gateways.jobs import SubprocessJobs
from ml_platform.settings import Settings
from ml_platform.stages import retries

STEP_SECONDS = 0.05
JOB: Any = SimpleNamespace(value="ml_platform_tests.live.slow_location")


@dataclass(frozen=True)
class Request:
    """For whom to work, and where journal and permission lie."""

    run_id: str
    folder: str


@dg.asset(pool="slow")
def slow(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
    """Done by one program at a time."""
    SubprocessJobs().run(context, JOB, Request(context.run_id, str(Settings().home / "slow")))
    return dg.MaterializeResult()


def work(run_id: str, folder: Path) -> None:
    """The job: `begin`, `work` until the file `go` is there, `end`."""

    def write(what: str) -> None:
        with (folder / "journal").open("a") as journal:
            journal.write(f"{what} {run_id}\n")

    write("begin")
    while not (folder / "go").exists():
        write("work")
        time.sleep(STEP_SECONDS)
    write("end")


defs = dg.Definitions(assets=[slow], sensors=[retries.build()], executor=dg.in_process_executor)

if __name__ == "__main__":
    with open_dagster_pipes() as pipes:
        request = pipes.get_extra("request")
        work(request["run_id"], Path(request["folder"]))
        pipes.report_custom_message({REPORT_KEY: {}})
