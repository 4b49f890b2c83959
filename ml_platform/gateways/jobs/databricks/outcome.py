"""How a run of Databricks ended, told to a person."""

import re
from dataclasses import dataclass

from databricks.sdk.service.jobs import (
    Run,
    RunLifeCycleState,
    RunOutput,
    RunResultState,
    TerminationCodeCode,
    TerminationTypeType,
)

from ml_platform.gateways.jobs.invocation import NO_WORD

TRACE_LINES = 15

_END = {RunLifeCycleState.TERMINATED, RunLifeCycleState.SKIPPED, RunLifeCycleState.INTERNAL_ERROR}
_LOST = {
    TerminationCodeCode.CLOUD_FAILURE,
    TerminationCodeCode.CLUSTER_ERROR,
    TerminationCodeCode.CLUSTER_REQUEST_LIMIT_EXCEEDED,
    TerminationCodeCode.DRIVER_ERROR,
    TerminationCodeCode.INTERNAL_ERROR,
    TerminationCodeCode.WORKSPACE_RUN_LIMIT_EXCEEDED,
}
_KILLED = re.compile(r"kernel is unresponsive|exit code 137|SIGKILL")


@dataclass(frozen=True)
class Failure:
    """`lost`: it did not fail by itself, so that it is worth another run. `remedy` is a sentence."""

    why: str
    remedy: str
    lost: bool = False


def ended(run: Run) -> bool:
    """Whether nothing of the run is left to come."""
    return run.state is not None and run.state.life_cycle_state in _END


def succeeded(run: Run) -> bool:
    """Whether the run's task came to its end."""
    return run.state is not None and run.state.result_state == RunResultState.SUCCESS


def failure_of(run: Run, output: RunOutput | None, said: str, minutes: float) -> Failure:
    """Why a run that ended did not succeed. `said` is what the program itself said of it, or NO_WORD."""
    result = run.state.result_state if run.state else None
    if result == RunResultState.TIMEDOUT:
        return Failure(
            f"it took longer than {minutes:g} minutes",
            "Raise ML_PLATFORM_DATABRICKS_TIMEOUT_MINUTES, give it more compute, or ask for fewer days",
        )
    if result == RunResultState.CANCELED:
        return Failure(f"it was cancelled there ({_message(run)})", "Run the step again if that was a mistake")
    if _is_lost(run, output):
        remedy = "It is run again where the deployment retries runs; if it is lost again, give it more memory"
        return Failure(f"{said}. {_message(run)}{_error(output, '. ')}", remedy, lost=True)
    if said != NO_WORD:
        return Failure(said, "Correct what it names and run the step again")
    return Failure(
        f"{_message(run)}{_error(output, ': ')}{_trace(output)}", "Correct what it names and run the step again"
    )


def _is_lost(run: Run, output: RunOutput | None) -> bool:
    details = run.status.termination_details if run.status else None
    if details and details.type == TerminationTypeType.CLIENT_ERROR and details.code not in _LOST:
        # A program that needs more memory than there is, is killed as one on a lost machine is.
        return bool(_KILLED.search(_error(output)))
    if details and (details.code or details.type):
        failed_there = (TerminationTypeType.INTERNAL_ERROR, TerminationTypeType.CLOUD_FAILURE)
        return details.code in _LOST or details.type in failed_there
    return run.state is not None and run.state.life_cycle_state == RunLifeCycleState.INTERNAL_ERROR


def _message(run: Run) -> str:
    details = run.status.termination_details if run.status else None
    said = (details.message if details else None) or (run.state.state_message if run.state else None)
    code = details.code.value if details and details.code else ""
    return " ".join(part for part in (code, (said or "Databricks gives no reason").strip().rstrip(".")) if part)


def _error(output: RunOutput | None, before: str = "") -> str:
    error = output.error.strip() if output and output.error else ""
    return f"{before}{error}" if error else ""


def _trace(output: RunOutput | None) -> str:
    lines = output.error_trace.rstrip().splitlines()[-TRACE_LINES:] if output and output.error_trace else []
    return "\n".join(["", *lines]) if lines else ""
