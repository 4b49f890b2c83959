"""One run of Databricks, from its submission to its report."""

import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any

import dagster as dg
from dagster._core.errors import DagsterExecutionInterruptedError
from dagster._utils.interrupts import capture_interrupts, check_captured_interrupt
from databricks.sdk import WorkspaceClient
from databricks.sdk.errors.base import DatabricksError
from databricks.sdk.service.jobs import QueueSettings, Run, RunOutput

from dbx_jobs.contract import to_dict
from dbx_jobs.online_contract import PASSWORD_VARIABLE
from ml_platform.errors import JobError
from ml_platform.gateways.jobs.databricks.attempts import Attempt, Attempts
from ml_platform.gateways.jobs.databricks.client import connected, steadily
from ml_platform.gateways.jobs.databricks.outcome import ended, failure_of, succeeded
from ml_platform.gateways.jobs.databricks.task import new_cluster, submitted
from ml_platform.gateways.jobs.databricks.volume import VolumeContext, VolumeFiles, VolumeMessages
from ml_platform.gateways.jobs.databricks.wheel import Wheel
from ml_platform.gateways.jobs.invocation import Context, reason_of, report_of, retry_later
from ml_platform.gateways.jobs.links import link
from ml_platform.gateways.jobs.protocol import Program

if TYPE_CHECKING:
    from ml_platform.gateways.jobs.databricks import DatabricksJobs

POLL_SECONDS = (0.5, 10.0)
"""How long is waited between two looks at a run: a tenth of its age, within these bounds."""

CANCEL_PATIENCE = timedelta(minutes=5)


class Place:
    """The workspace that `DatabricksJobs` describe."""

    def __init__(self, jobs: "DatabricksJobs") -> None:
        self._settings = jobs

    @cached_property
    def _client(self) -> WorkspaceClient:
        return connected(self._settings.host)

    @cached_property
    def _files(self) -> VolumeFiles:
        return VolumeFiles(self._client)

    @cached_property
    def _wheel(self) -> Wheel:
        return Wheel(self._files, self._settings.volume)

    @cached_property
    def _attempts(self) -> Attempts:
        attempts = Attempts(self._client, self._files, self._settings.volume)
        attempts.forget(datetime.now(UTC).date())
        return attempts

    def run(self, context: Context, program: Program, request: Any) -> dict:
        """See `Jobs.run`."""
        cluster = new_cluster(self._settings.compute)
        with self._explained(context, program):
            wheel, attempt = self._wheel.path, self._attempts.find(context, program, request)
            opened = dg.open_pipes_session(
                context=context.op_execution_context,
                context_injector=VolumeContext(self._files, attempt.folder),
                message_reader=VolumeMessages(self._client, self._files, attempt.folder),
                extras=self._told(program, request, attempt),
            )
            with opened as pipes:
                told = pipes.get_bootstrap_cli_arguments(), pipes.get_bootstrap_env_vars()
                body = submitted(cluster, wheel, program.value, *told)
                run = self._completed(context, lambda: self._submit(context, program, attempt, body))
            output = self._output(run)
        if not succeeded(run):
            raise self._failed(context, program, run, output)
        return report_of(program, dg.PipesClientCompletedInvocation(pipes))

    def _told(self, program: Program, request: Any, attempt: Attempt) -> dict[str, Any]:
        """What Pipes brings the program. Of a secret that is its name, and only the program that needs it is told."""
        secret = self._settings.store_secret if program is Program.ONLINE_FEATURES else ""
        told = {"request": to_dict(request), "scratch": f"{attempt.folder}/scratch"}
        return told | ({"secrets": {PASSWORD_VARIABLE: secret}} if secret else {})

    def _submit(self, context: Context, program: Program, attempt: Attempt, body: Mapping[str, Any]) -> int:
        answer = steadily(
            self._client.jobs.submit,
            run_name=f"{program.value} for Dagster run {context.run.run_id}",
            idempotency_token=attempt.token,
            queue=QueueSettings(enabled=True),  # a workspace that runs all it can lets it wait
            timeout_seconds=round(self._settings.timeout.total_seconds()),
            **body,
        )
        run_id = answer.bind()["run_id"]
        self._attempts.claim(context, attempt, run_id)
        return run_id

    def _completed(self, context: Context, submit: Callable[[], int]) -> Run:
        """The run at its end. It is cancelled when this step is interrupted, or when it outlives its time."""
        run_id = None
        try:
            # Between the submission and its answer there is nothing that could be cancelled: an interruption waits.
            with capture_interrupts():
                run_id = submit()
                interrupted = check_captured_interrupt()
            if interrupted:
                raise DagsterExecutionInterruptedError
            return self._ended(context, run_id)
        except (DagsterExecutionInterruptedError, KeyboardInterrupt):
            if run_id is not None:
                self._cancel(context, run_id)
            raise  # what is interrupted must not be recorded as done

    def _ended(self, context: Context, run_id: int) -> Run:
        run = steadily(self._client.jobs.get_run, run_id)
        link(context, "Databricks run", _page(run))
        most = self._settings.timeout + self._settings.patience
        while not ended(run):
            if _age(run) > most:
                self._cancel(context, run_id)
                raise JobError(
                    f"Databricks run {run_id} did not end within {most}, and was cancelled. Run page: {_page(run)}."
                    " Raise ML_PLATFORM_DATABRICKS_TIMEOUT_MINUTES, or ask for fewer days"
                )
            time.sleep(min(max(_age(run).total_seconds() / 10, POLL_SECONDS[0]), POLL_SECONDS[1]))
            run = steadily(self._client.jobs.get_run, run_id)
        return run

    def _cancel(self, context: Context, run_id: int) -> None:
        """Have the run cancelled and see it end; the log says so when that does not come about."""
        context.log.info(f"Cancelling Databricks run {run_id}")
        try:
            steadily(self._client.jobs.cancel_run, run_id)
            deadline = time.monotonic() + CANCEL_PATIENCE.total_seconds()
            while not ended(steadily(self._client.jobs.get_run, run_id)):
                if time.monotonic() > deadline:
                    raise TimeoutError(f"it goes on after {CANCEL_PATIENCE}")
                time.sleep(POLL_SECONDS[0])
            context.log.info(f"Databricks run {run_id} is cancelled")
        except (DatabricksError, TimeoutError) as error:
            context.log.error(f"Databricks run {run_id} could not be cancelled, cancel it there: {error}")

    def _output(self, run: Run) -> RunOutput | None:
        """What the run printed, given out as this step's own output, and its error."""
        # It explains a run that ended, however: without it there is less to read, and nothing else is lost.
        with suppress(DatabricksError, TimeoutError):
            output = steadily(self._client.jobs.get_run_output, (run.tasks or [run])[0].run_id or 0)
            for text in (output.logs, output.error_trace):
                print(text or "", end="", file=sys.stderr, flush=True)
            return output
        return None

    def _failed(self, context: Context, program: Program, run: Run, output: RunOutput | None) -> JobError:
        minutes = self._settings.timeout.total_seconds() / 60
        failure = failure_of(run, output, reason_of(context), minutes)
        if failure.lost:
            retry_later(context)
        return JobError(
            f"{program.value} failed on Databricks: {failure.why}\nRun page: {_page(run)}. {failure.remedy}"
        )

    @contextmanager
    def _explained(self, context: Context, program: Program) -> Iterator[None]:
        """Tell a person what Databricks refused, or that it cannot be reached."""
        try:
            yield
        except TimeoutError as error:
            retry_later(context)
            raise JobError(
                f"{program.value}: Databricks at {self._settings.host} could not be reached for minutes:"
                f" {error.__cause__ or error}. It is run again where the deployment retries runs"
            ) from error
        except DatabricksError as error:
            raise JobError(
                f"{program.value}: Databricks at {self._settings.host} refused: {error}. See to it that the service"
                f" principal may use the workspace, run jobs, and read and write {self._settings.volume}"
            ) from error


def _page(run: Run) -> str:
    return run.run_page_url or f"run {run.run_id}"


def _age(run: Run) -> timedelta:
    """How long ago the run was submitted."""
    return datetime.now(UTC) - datetime.fromtimestamp((run.start_time or 0) / 1000, UTC)
