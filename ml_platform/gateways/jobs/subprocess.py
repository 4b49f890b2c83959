"""Runs a program in a local process."""

import re
import sys
from dataclasses import dataclass
from typing import Any

import dagster as dg
from dagster._core.errors import DagsterPipesExecutionError

from dbx_jobs.contract import to_dict
from ml_platform.errors import JobError
from ml_platform.gateways.jobs.invocation import Context, reason_of, report_of, retry_later
from ml_platform.gateways.jobs.protocol import Program


@dataclass(frozen=True)
class SubprocessJobs:
    """Programs as child processes of the step, with the interpreter of the code location."""

    def run(self, context: Context, program: Program, request: Any) -> dict:
        """See `Jobs.run`."""
        command = [sys.executable, "-m", program.value]
        try:
            invocation = dg.PipesSubprocessClient().run(
                context=context.op_execution_context, command=command, extras={"request": to_dict(request)}
            )
        except DagsterPipesExecutionError as error:
            if re.search(r"code -\d+$", str(error)):
                retry_later(context)
            raise JobError(f"{program.value} failed: {reason_of(context)}") from error
        return report_of(program, invocation)
