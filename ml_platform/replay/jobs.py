"""Several warm workers, so that as many programs of a replay run at the same time."""

from queue import LifoQueue
from types import TracebackType
from typing import Any, Self

from ml_platform.gateways.jobs import Program, WarmJobs
from ml_platform.gateways.jobs.invocation import Context


class SeveralWarmJobs:
    """A program runs in the worker that was used last of those that are free; one is started when it is needed."""

    def __init__(self, workers: int) -> None:
        self._all = [WarmJobs() for _ in range(workers)]
        self._free: LifoQueue[WarmJobs] = LifoQueue()
        for jobs in self._all:
            self._free.put(jobs)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for jobs in self._all:
            jobs.close()

    def run(self, context: Context, program: Program, request: Any) -> dict:
        """See `Jobs.run`."""
        jobs = self._free.get()
        try:
            return jobs.run(context, program, request)
        finally:
            self._free.put(jobs)
