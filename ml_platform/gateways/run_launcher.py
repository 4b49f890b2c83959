"""Runs Dagster's runs as processes of their own, and ends those whose process is gone.

Dagster's own launcher starts them as children of the code server and cannot tell a dead one from a living one: a run
whose worker and code server are killed stays started for ever, and keeps its place in the pools of its tables.
"""

import math
import os
import signal
import subprocess
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import dagster as dg
import psutil
from dagster._core.errors import DagsterUserCodeUnreachableError
from dagster._core.events import JobFailureData, RunFailureReason
from dagster._core.launcher import CheckRunHealthResult, LaunchRunContext, RunLauncher, WorkerStatus
from dagster._core.remote_origin import GrpcServerCodeLocationOrigin
from dagster._grpc.types import ExecuteRunArgs
from dagster._serdes import ConfigurableClass, ConfigurableClassData

from ml_platform.processes import group, identity, living

PROCESS_TAG = "ml_platform/process"
"""Of a run: the process that executes it, as pid and start time."""

MARK = "DAGSTER_RUN_WORKER_OF"
"""In the environment of a worker and of what it starts: the run. A process group's number alone may be given again."""

LONGEST_WAIT = 120
"""Seconds that a dead run may wait for its code server: Dagster gives a retry up when it finds none."""

SETTLING_SECONDS = 5
"""Within which the daemon sees that a code server is back."""

ON_A_WORD = 'read -r word && exec "$@" </dev/null'
"""The worker starts once it is told to, which is after its process stands on the run; the launcher's end ends it."""


class ProcessRunLauncher(RunLauncher, ConfigurableClass):
    """Each run is a process that survives code server, daemon and web server, in a process group with its jobs."""

    def __init__(self, inst_data: ConfigurableClassData | None = None) -> None:
        self._inst_data = inst_data
        self._attended: set[str] = set()
        self._down: dict[str, tuple[float, float]] = {}
        super().__init__()

    @property
    def inst_data(self) -> ConfigurableClassData | None:
        """See `ConfigurableClass`."""
        return self._inst_data

    @classmethod
    def config_type(cls) -> dict[str, Any]:
        """It takes no configuration."""
        return {}

    @classmethod
    def from_config_value(
        cls, inst_data: ConfigurableClassData, config_value: Mapping[str, Any]
    ) -> "ProcessRunLauncher":
        """See `ConfigurableClass`."""
        return cls(inst_data=inst_data)

    def launch_run(self, context: LaunchRunContext) -> None:
        """Start the worker of a run and attend to its end."""
        run, origin = context.dagster_run, context.job_code_origin
        if origin is None:
            raise dg.DagsterInvariantViolationError(f"Run {run.run_id} does not say where its job's code is")
        arguments = ExecuteRunArgs(origin, run.run_id, self._instance.get_ref()).get_command_args()
        worker = subprocess.Popen(
            ["/bin/sh", "-c", ON_A_WORD, "worker", *arguments],
            env=os.environ | {MARK: run.run_id},
            stdin=subprocess.PIPE,
            start_new_session=True,
        )
        assert worker.stdin is not None
        with worker.stdin:
            self._instance.add_run_tags(run.run_id, {PROCESS_TAG: identity(psutil.Process(worker.pid))})
            worker.stdin.write(b"start\n")
        self._attended.add(run.run_id)
        threading.Thread(target=self._attend, args=(worker, run.run_id), name="run-worker", daemon=True).start()

    def terminate(self, run_id: str) -> bool:
        """Interrupt the worker of a run, which then cancels it; whether there was one."""
        run = self._instance.get_run_by_id(run_id) if self.has_instance else None
        if run is None or run.is_finished:
            return False
        self._instance.report_run_canceling(run)
        worker = worker_of(run)
        if worker is None:
            return False
        worker.send_signal(signal.SIGTERM)
        return True

    @property
    def supports_check_run_worker_health(self) -> bool:
        """Dagster's monitoring asks for the runs that another daemon, since killed, had started."""
        return True

    def check_run_worker_health(self, run: dg.DagsterRun) -> CheckRunHealthResult:
        """Whether the process of a run lives; what a dead one left running is ended before the run is retried."""
        named = run.tags.get(PROCESS_TAG)
        # Of a run without the tag, which a person started in a process of their own, nothing is known.
        if named is None or run.run_id in self._attended or living(named):
            return CheckRunHealthResult(WorkerStatus.RUNNING)
        end_remains(run)
        if not self._can_be_retried(run):
            return CheckRunHealthResult(WorkerStatus.RUNNING, "its process is gone; waiting for its code server")
        return CheckRunHealthResult(WorkerStatus.FAILED, f"its process ended without a word: {named}")

    def _attend(self, worker: "subprocess.Popen[bytes]", run_id: str) -> None:
        """Wait for the worker's end, and end the run when the worker could not."""
        code = worker.wait()
        if run := self._unfinished(run_id):
            end_remains(run)
            while not self._can_be_retried(run):
                time.sleep(1)
        # Somebody may have ended it meanwhile.
        if run := self._unfinished(run_id):
            end_run(self._instance, run, f"The process of this run ended without a word, with code {code}")
        self._attended.discard(run_id)

    def _unfinished(self, run_id: str) -> dg.DagsterRun | None:
        run = self._instance.get_run_by_id(run_id)
        return run if run and not run.is_finished else None

    def _can_be_retried(self, run: dg.DagsterRun) -> bool:
        """Whether its code server answers, and has for so long that the daemon knows, or was waited for long enough."""
        now = time.monotonic()
        if not _code_server_answers(run):
            self._down[run.run_id] = (self._down.get(run.run_id, (now, now))[0], now)
        first, last = self._down.get(run.run_id, (now, -math.inf))
        return now - last > SETTLING_SECONDS or now - first > LONGEST_WAIT


def end_run(instance: dg.DagsterInstance, run: dg.DagsterRun, reason: str) -> None:
    """Record that a run whose process is gone has failed, or is canceled if that was asked for, and free its pools."""
    if run.status == dg.DagsterRunStatus.CANCELING:
        instance.report_run_canceled(run, reason)
    else:
        instance.report_run_failed(run, reason, JobFailureData(None, RunFailureReason.UNEXPECTED_TERMINATION))
    instance.event_log_storage.free_concurrency_slots_for_run(run.run_id)


def _code_server_answers(run: dg.DagsterRun) -> bool:
    origin = run.remote_job_origin.repository_origin.code_location_origin if run.remote_job_origin else None
    if not isinstance(origin, GrpcServerCodeLocationOrigin):
        return True
    try:
        origin.create_client().get_server_id(timeout=2)
    except DagsterUserCodeUnreachableError:
        return False
    return True


def worker_of(run: dg.DagsterRun) -> psutil.Process | None:
    """The living worker of a run that a launcher started; None for a run within a person's own process."""
    named = run.tags.get(PROCESS_TAG)
    process = living(named) if named else None
    return process if process and _is_of(process, run.run_id) else None


def end_remains(run: dg.DagsterRun) -> None:
    """Kill the jobs that a dead worker left behind: they must not write while the run is done again."""
    left = [p for p in group(int(run.tags[PROCESS_TAG].split()[0])) if _is_of(p, run.run_id)]
    for process in left:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(left, timeout=10)


def _is_of(process: psutil.Process, run_id: str) -> bool:
    try:
        return process.environ().get(MARK) == run_id
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return False
