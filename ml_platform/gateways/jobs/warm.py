"""Runs Spark programs one after the other in one process that keeps Spark: a job on a cluster that is there already."""

import os
from collections.abc import Mapping
from threading import Lock
from types import TracebackType
from typing import Any, Self

import dagster as dg
from dagster._core.errors import DagsterExecutionInterruptedError

from dbx_jobs.contract import to_dict
from ml_platform.errors import JobError
from ml_platform.gateways.jobs.invocation import NO_WORD, Context, reason_of, report_of
from ml_platform.gateways.jobs.protocol import Program
from ml_platform.gateways.jobs.subprocess import SubprocessJobs
from ml_platform.gateways.jobs.worker import Worker, WorkerEnded

ALONE = frozenset({Program.TRAIN, Program.COMPARE})
"""Programs without Spark: they stay processes of their own."""

SHARE = 350
"""Programs that one worker runs: Sail keeps some megabytes of each, so that it would grow to several GiB in a year."""


class WarmJobs:
    """One worker at a time, started when it is needed, ended by `close` or with the process that owns it.

    It imports a module once, so that code that changes meanwhile is not seen: for the life of one command, not of a
    code location. Programs that are asked for at the same time wait for one another. What a program finds is its own:
    its Spark session, its environment, its standard streams.
    """

    def __init__(self, share: int = SHARE) -> None:
        self._alone = SubprocessJobs()
        self._worker: Worker | None = None
        self._share = share
        self._one_at_a_time = Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """End the worker; a program asked for afterwards starts another."""
        with self._one_at_a_time:
            self._end(Worker.close)

    def run(self, context: Context, program: Program, request: Any) -> dict:
        """See `Jobs.run`."""
        if program in ALONE:
            return self._alone.run(context, program, request)
        opened = dg.open_pipes_session(
            context=context.op_execution_context,
            context_injector=dg.PipesTempFileContextInjector(),
            message_reader=dg.PipesTempFileMessageReader(),
            extras={"request": to_dict(request)},
        )
        with opened as pipes, self._one_at_a_time:
            code = self._run(program, {**os.environ, **pipes.get_bootstrap_env_vars()})
        if code:
            raise JobError(f"{program.value} failed: {reason_of(context)}")
        return report_of(program, dg.PipesClientCompletedInvocation(pipes))

    def _run(self, program: Program, environment: Mapping[str, str]) -> int:
        if self._worker is None or not self._worker.alive or self._worker.programs >= self._share:
            self._end(Worker.close)
            self._worker = Worker()
        try:
            return self._worker.run(program.value, environment)
        except WorkerEnded as error:
            self._end(Worker.close)
            raise JobError(f"{program.value} failed: {NO_WORD}. {error}; the next program gets another") from error
        except (DagsterExecutionInterruptedError, KeyboardInterrupt):
            self._end(Worker.interrupt)
            raise

    def _end(self, how: Any) -> None:
        worker, self._worker = self._worker, None
        if worker is not None:
            how(worker)
