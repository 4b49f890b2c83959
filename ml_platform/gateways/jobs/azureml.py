"""Runs a program as a command job of an Azure ML workspace, on its compute and in its image."""

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import dagster as dg
from dagster._core.errors import DagsterExecutionInterruptedError
from dagster._utils.interrupts import capture_interrupts, check_captured_interrupt

from dbx_jobs.contract import to_dict
from ml_platform.errors import JobError
from ml_platform.gateways.jobs.azureml_job import CANCELED, COMPLETED, JobsOfWorkspace, job_name
from ml_platform.gateways.jobs.azureml_sweep import TRIAL, Sweep
from ml_platform.gateways.jobs.invocation import NO_WORD, Context, reason_of, report_of, retry_later
from ml_platform.gateways.jobs.lake_pipes import LakeContextInjector, LakeMessageReader
from ml_platform.gateways.jobs.links import link
from ml_platform.gateways.jobs.protocol import Program
from ml_platform.gateways.workspace import workspace_client
from ml_platform.training.mlflow_store import mlflow_client

if TYPE_CHECKING:
    from azure.ai.ml.entities import Command, Job
    from azure.core.exceptions import AzureError

PIPES_FOLDER = "pipes/azureml"
"""Where in the lake's container jobs are asked and tell."""

OUTPUT = "user_logs/std_log.txt"
"""Where among the artifacts of a job's MLflow run its output is."""

OUTPUT_SHOWN = 100_000
"""Characters, the last of them."""

GRACE_SECONDS = 600
"""After the time-out until Azure ML cancels a job by itself, which nobody looks after any more."""

LINK, SWEEP_LINK = "Azure ML job", "Azure ML sweep"
BUSY = frozenset({408, 409, 429})


@dataclass(frozen=True)
class AzureMLJobs:
    """Programs as command jobs of the workspace with this ARM id.

    `compute` is the name of a cluster, or `serverless`; `environment` an Azure ML environment, `NAME:VERSION`, whose
    image holds ml_platform, so that no code is uploaded and a version runs what was tested. Jobs run as the identity
    of the compute, which may read the lake, write its `pipes` folder and write to MLflow, and hold no secret.
    """

    workspace: str
    lake_uri: str
    tracking_uri: str
    compute: str
    environment: str
    timeout_minutes: float = 180
    """From submission on, so with the wait for a machine."""
    poll_seconds: float = 5

    def run(self, context: Context, program: Program, request: Any) -> dict:
        """See `Jobs.run`. A run that takes over from a lost one finds its job, running or finished, by its name."""
        from azure.core.exceptions import AzureError

        asked = to_dict(request)
        try:
            if program is Program.TRAIN and Sweep.wanted(asked):
                asked["swept"] = self._swept(context, asked)
            return self._run(context, program, asked)
        except AzureError as error:
            if _passing(error):
                retry_later(context)
            raise JobError(
                f"{program.value} cannot be run on {self.compute!r} in {self.environment!r} of {self.workspace}, or "
                f"cannot be followed: {error.message}. A job that runs already is found when this is run again"
            ) from error

    def _run(self, context: Context, program: Program, asked: dict) -> dict:
        name, found = self._jobs.find(job_name(context, program.value, asked))
        folder = f"{PIPES_FOLDER}/{name}"
        reader = LakeMessageReader(self.lake_uri, folder)
        with dg.open_pipes_session(
            context=context.op_execution_context,
            context_injector=LakeContextInjector(self.lake_uri, folder),
            message_reader=reader,
            extras={"request": asked},
        ) as pipes:
            command = self._command(name, program, asked, pipes.get_bootstrap_env_vars())
            job, state = self._followed(context, LINK, name, lambda: found or self._submit(command), reader.read)
        self._show_output(context, name)
        if state != COMPLETED:
            raise self._failure(context, program, job, state)
        return report_of(program, dg.PipesClientCompletedInvocation(pipes), may_restart=True)

    def _swept(self, context: Context, asked: dict) -> list[dict]:
        """The trials of a sweep job for the parameters of a training request."""
        name, found = self._jobs.find(job_name(context, TRIAL, asked))
        sweep = Sweep.of(asked, self.lake_uri, f"{PIPES_FOLDER}/{name}")
        seconds = int(self.timeout_minutes * 60) + GRACE_SECONDS

        def submit() -> "Job":
            return found or self._submit(sweep.job(name, self.environment, self.compute, seconds))

        job, state = self._followed(context, SWEEP_LINK, name, submit, lambda: None)
        if state != COMPLETED:
            raise JobError(f"the search ended as {state}: look at the trials of the sweep {name}, {job.studio_url}")
        return [to_dict(trial) for trial in sweep.trials(job)]

    def _followed(
        self, context: Context, label: str, name: str, submit: Callable[[], "Job"], read: Callable[[], None]
    ) -> tuple["Job", str]:
        """A job and the state in which it ended; an interruption of the step cancels it."""
        try:
            # While it is submitted there may be a job or none: an interruption waits for the answer.
            with capture_interrupts():
                job = submit()
                interrupted = check_captured_interrupt()
            if interrupted:
                raise DagsterExecutionInterruptedError
            link(context, label, str(job.studio_url))
            return job, self._jobs.wait(job, self.timeout_minutes * 60, _looking(context, name, read))
        except (DagsterExecutionInterruptedError, KeyboardInterrupt):
            context.log.info(f"The run was interrupted: the job {name} is cancelled.")
            self._jobs.cancel(name)
            raise

    def _submit(self, job: Any) -> "Job":
        return self._jobs.client.jobs.create_or_update(job)

    def _command(self, name: str, program: Program, asked: dict, variables: Mapping[str, str]) -> "Command":
        from azure.ai.ml import command
        from azure.ai.ml.entities import ManagedIdentityConfiguration

        tracking = asked.get("tracking") or {}
        return command(
            name=name,
            display_name=f"{program.value.rpartition('.')[2]} {tracking.get('model', '')}".strip(),
            experiment_name=tracking.get("experiment") or "ml_platform",
            command=f"python -m {program.value}",
            environment=self.environment,
            environment_variables=dict(variables),
            compute=self.compute,
            identity=ManagedIdentityConfiguration(),
            timeout=int(self.timeout_minutes * 60) + GRACE_SECONDS,
        )

    def _failure(self, context: Context, program: Program, job: "Job", state: str) -> JobError:
        if state == CANCELED:
            return JobError(f"{program.value} was cancelled in Azure ML, job {job.name}: {job.studio_url}")
        reason = reason_of(context)
        if reason == NO_WORD:
            retry_later(context)
        return JobError(f"{program.value} failed: {reason} (Azure ML job {job.name}: {job.studio_url})")

    def _show_output(self, context: Context, name: str) -> None:
        """Print what the job printed, as a program in a process of the step would have."""
        from mlflow.exceptions import MlflowException

        try:
            with TemporaryDirectory() as scratch:
                path = mlflow_client(self.tracking_uri).download_artifacts(name, OUTPUT, scratch)
                sys.stderr.write(Path(path).read_text(errors="replace")[-OUTPUT_SHOWN:])
        except (MlflowException, OSError) as error:
            context.log.warning(f"The output of the job {name} cannot be shown here, see its page: {error}")

    @cached_property
    def _jobs(self) -> JobsOfWorkspace:
        return JobsOfWorkspace(workspace_client(self.workspace), self.poll_seconds)


def _looking(context: Context, name: str, read: Callable[[], None]) -> Callable[[str], None]:
    """Tells each new state of a job and hands on what its program has told."""
    seen = [""]

    def look(state: str) -> None:
        read()
        if state != seen[0]:
            context.log.info(f"The job {name} is {state}.")
            seen[0] = state

    return look


def _passing(error: "AzureError") -> bool:
    """Whether what failed may work later: the service was busy, failed or could not be reached."""
    from azure.core.exceptions import HttpResponseError, ServiceRequestError, ServiceResponseError

    if isinstance(error, HttpResponseError) and error.status_code:
        return error.status_code >= 500 or error.status_code in BUSY
    return isinstance(error, ServiceRequestError | ServiceResponseError)
