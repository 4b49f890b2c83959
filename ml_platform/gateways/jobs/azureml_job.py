"""One job of an Azure ML workspace: found by its name or submitted, waited for, and cancelled for good."""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from ml_platform.errors import JobError
from ml_platform.gateways.jobs.invocation import Context

if TYPE_CHECKING:
    from azure.ai.ml import MLClient
    from azure.ai.ml.entities import Job

COMPLETED, FAILED, CANCELED = "Completed", "Failed", "Canceled"
ENDED = frozenset({COMPLETED, FAILED, CANCELED})
"""The states that a job stays in; the others (Queued, Running, NotResponding and more) pass."""

CANCEL_SECONDS = 600.0
"""How long a cancelled job may take to end: its machine is given back."""


def job_name(context: Context, module: str, request: dict[str, Any]) -> str:
    """The same for each attempt of one step of one run to have a module do a request, whatever process makes it."""
    run = context.run.root_run_id or context.run.run_id
    step = context.get_step_execution_context().step.key
    asked = json.dumps([run, step, module, request], sort_keys=True)
    return f"{module.rpartition('.')[2]}-{sha256(asked.encode()).hexdigest()[:24]}"


@dataclass(frozen=True)
class JobsOfWorkspace:
    """The jobs that this process looks after; `poll_seconds` lie between two looks at one."""

    client: "MLClient"
    poll_seconds: float

    def find(self, name: str) -> tuple[str, "Job | None"]:
        """The first of `name-1`, `name-2`... that did not fail: its name, and the job where it is there already."""
        attempt = 1
        while (job := self.get(f"{name}-{attempt}")) and state_of(job) in (FAILED, CANCELED):
            attempt += 1
        return f"{name}-{attempt}", job

    def get(self, name: str) -> "Job | None":
        """The job, or None when there is none."""
        from azure.core.exceptions import ResourceNotFoundError

        try:
            return self.client.jobs.get(name)
        except ResourceNotFoundError:
            return None

    def wait(self, job: "Job", seconds: float, look: Callable[[str], None]) -> str:
        """The state in which the job ended; `look` is called with each state that is seen, the last included.

        A job that has not ended `seconds` after it was submitted is cancelled: JobError.
        """
        deadline = _submitted(job) + seconds
        while True:
            state = state_of(self._existing(job))
            look(state)
            if state in ENDED:
                return state
            if time.time() > deadline:
                self.cancel(str(job.name))
                raise JobError(
                    f"the job {job.name} was still {state} {seconds / 60:g} minutes after it was submitted and was "
                    "cancelled: raise ML_PLATFORM_AZUREML_TIMEOUT_MINUTES, or ask less of it"
                )
            time.sleep(self.poll_seconds)

    def cancel(self, name: str) -> None:
        """Cancel a job and return once it has ended, however it did; there may be none.

        Raises JobError for one that does not end.
        """
        from azure.core.exceptions import HttpResponseError

        deadline = time.monotonic() + CANCEL_SECONDS
        asked = False
        while (job := self.get(name)) and state_of(job) not in ENDED:
            if not asked:
                try:
                    self.client.jobs.begin_cancel(name, polling=False)
                    asked = True
                except HttpResponseError:
                    if self._goes_on(name):  # what has ended meanwhile cannot be cancelled
                        raise
            if time.monotonic() > deadline:
                raise JobError(
                    f"the job {name} is still {state_of(job)} after it was cancelled: look at {job.studio_url}"
                )
            time.sleep(self.poll_seconds)

    def _goes_on(self, name: str) -> bool:
        job = self.get(name)
        return job is not None and state_of(job) not in ENDED

    def _existing(self, job: "Job") -> "Job":
        found = self.get(str(job.name))
        if found is None:
            raise JobError(f"the job {job.name} was deleted while it ran: nothing is recorded; run it again")
        return found


def state_of(job: "Job") -> str:
    """The state as the service names it; the SDK's enumeration has another hash and text than its value."""
    return str(getattr(job.status, "value", job.status))


def _submitted(job: "Job") -> float:
    """When it was, in seconds since 1970; a job of which the service does not tell was submitted now."""
    record = job.creation_context
    return record.created_at.timestamp() if record and record.created_at else time.time()
