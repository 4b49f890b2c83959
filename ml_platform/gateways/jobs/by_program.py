"""Runs each program in its place: those of Spark in one, the others in another."""

from dataclasses import dataclass
from typing import Any

from ml_platform.gateways.jobs.invocation import Context
from ml_platform.gateways.jobs.protocol import WITHOUT_SPARK, Jobs, Program


@dataclass(frozen=True)
class JobsByProgram:
    """Two places that are one."""

    spark: Jobs
    others: Jobs

    def run(self, context: Context, program: Program, request: Any) -> dict:
        """See `Jobs.run`."""
        return (self.others if program in WITHOUT_SPARK else self.spark).run(context, program, request)
