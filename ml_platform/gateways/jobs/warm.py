"""Runs Spark programs in processes that keep Spark: jobs on a cluster that is there already."""

import os
from collections import deque
from collections.abc import Callable, Mapping
from queue import LifoQueue
from types import TracebackType
from typing import Any, Self

import dagster as dg
from dagster._core.errors import DagsterExecutionInterruptedError

from dbx_jobs.contract import to_dict
from ml_platform.errors import JobError
from ml_platform.gateways.jobs.invocation import NO_WORD, Context, reason_of, report_of
from ml_platform.gateways.jobs.protocol import WITHOUT_SPARK, Program
from ml_platform.gateways.jobs.subprocess import SubprocessJobs
from ml_platform.gateways.jobs.worker import Worker, WorkerEnded

SHARE = 350
"""Programs that one worker runs: Sail keeps some megabytes of each, so that it would grow to several GiB in a year."""

AHEAD = 20
"""Before so many programs that are its last, a worker's successor starts: it needs seconds to import."""


class WarmJobs:
    """Some workers, each started when it is needed or by `start`, ended by `close` or with the process that owns it.

    A worker imports a module once, so that code that changes meanwhile is not seen: for the life of one command, not of
    a code location. Programs that are asked for when all workers are busy wait. What a program finds is its own: its
    Spark session, its environment, its standard streams.
    """

    def __init__(self, workers: int = 1, share: int = SHARE) -> None:
        self._alone = SubprocessJobs()
        self._workers, self._share = workers, share
        # The last that worked works next: those that are not needed are never started.
        self._idle: LifoQueue[Worker | None] = LifoQueue()
        self._successors: deque[Worker] = deque()
        for _ in range(workers):
            self._idle.put(None)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def start(self) -> None:
        """Start the workers before they are needed: they import meanwhile."""
        for _ in range(self._workers):
            self._start_successor()

    def close(self) -> None:
        """End the workers, once they are idle; a program asked for afterwards starts another."""
        for worker in [self._idle.get() for _ in range(self._workers)]:
            _end(worker, Worker.close)
            self._idle.put(None)
        while self._successors:
            self._successors.pop().close()

    def run(self, context: Context, program: Program, request: Any) -> dict:
        """See `Jobs.run`."""
        if program in WITHOUT_SPARK:  # they stay processes of their own
            return self._alone.run(context, program, request)
        opened = dg.open_pipes_session(
            context=context.op_execution_context,
            context_injector=dg.PipesTempFileContextInjector(),
            message_reader=dg.PipesTempFileMessageReader(),
            extras={"request": to_dict(request)},
        )
        with opened as pipes:
            code = self._run(program, {**os.environ, **pipes.get_bootstrap_env_vars()})
        if code:
            raise JobError(f"{program.value} failed: {reason_of(context)}")
        return report_of(program, dg.PipesClientCompletedInvocation(pipes))

    def _run(self, program: Program, environment: Mapping[str, str]) -> int:
        kept, worker = None, self._idle.get()
        try:
            if worker is None or not worker.alive or worker.programs >= self._share:
                _end(worker, Worker.close)
                worker = self._successor()
            if worker.programs == self._share - AHEAD:
                self._start_successor()
            code = worker.run(program.value, environment)
            kept = worker
            return code
        except WorkerEnded as error:
            _end(worker, Worker.close)
            raise JobError(f"{program.value} failed: {NO_WORD}. {error}; the next program gets another") from error
        except (DagsterExecutionInterruptedError, KeyboardInterrupt):
            _end(worker, Worker.interrupt)
            raise
        finally:
            self._idle.put(kept)

    def _start_successor(self) -> None:
        self._successors.append(Worker(early=True))

    def _successor(self) -> Worker:
        try:
            while not (worker := self._successors.popleft()).alive:
                worker.close()
        except IndexError:
            return Worker()
        return worker


def _end(worker: Worker | None, how: Callable[[Worker], None]) -> None:
    if worker is not None:
        how(worker)
