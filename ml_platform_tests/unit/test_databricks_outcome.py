"""How a run of Databricks ended is told in the words that help, and whether it is worth another run."""

import pytest
from databricks.sdk.service.jobs import (
    Run,
    RunLifeCycleState,
    RunOutput,
    RunResultState,
    RunState,
    RunStatus,
    TerminationCodeCode,
    TerminationDetails,
    TerminationTypeType,
)

from ml_platform.gateways.jobs.databricks.outcome import Failure, failure_of
from ml_platform.gateways.jobs.invocation import NO_WORD

OOM = "The Python process exited with exit code 137 (SIGKILL: Killed)."


def ended(
    code: str = "RUN_EXECUTION_ERROR",
    kind: str = "CLIENT_ERROR",
    life: str = "TERMINATED",
    error: str = "",
    trace: str = "",
    said: str = NO_WORD,
) -> Failure:
    details = (
        TerminationDetails(TerminationCodeCode(code), "It went wrong.", TerminationTypeType(kind)) if code else None
    )
    state = RunState(life_cycle_state=RunLifeCycleState(life), result_state=RunResultState.FAILED)
    run = Run(state=state, status=RunStatus(termination_details=details))
    return failure_of(run, RunOutput(error=error, error_trace=trace), said, 120)


@pytest.mark.parametrize(
    "lost",
    [
        ended("CLOUD_FAILURE", "CLOUD_FAILURE"),
        ended("INTERNAL_ERROR", "INTERNAL_ERROR", "INTERNAL_ERROR"),
        ended("DRIVER_ERROR", "CLIENT_ERROR", "INTERNAL_ERROR"),
        ended("CLUSTER_ERROR", "CLIENT_ERROR"),
        ended("STORAGE_ACCESS_ERROR", "CLOUD_FAILURE"),
        ended("", life="INTERNAL_ERROR"),
        ended(error=OOM),
    ],
)
def test_what_the_platform_or_the_cloud_did_is_worth_another_run(lost: Failure):
    assert lost.lost
    assert "run again" in lost.remedy


@pytest.mark.parametrize(
    "failed",
    [
        ended(),
        ended(error="DataError: no such day"),
        ended("LIBRARY_INSTALLATION_ERROR", "CLIENT_ERROR", "INTERNAL_ERROR"),
        ended("UNAUTHORIZED_ERROR"),
        ended("INVALID_CLUSTER_REQUEST", "CLIENT_ERROR", "INTERNAL_ERROR"),
        ended("", life="TERMINATED"),
    ],
)
def test_what_the_program_or_its_declaration_did_would_fail_again(failed: Failure):
    assert not failed.lost


def test_what_the_program_said_itself_is_the_reason():
    assert ended(said="flights.csv, line 7", error="DataError", trace="Traceback").why == "flights.csv, line 7"


def test_without_a_word_of_the_program_the_error_and_the_end_of_its_trace_are_the_reason():
    trace = "\n".join(f"line {n}" for n in range(100))
    why = ended(error="ImportError: no module", trace=trace).why
    assert why.startswith("RUN_EXECUTION_ERROR It went wrong: ImportError: no module\nline 85\n")
    assert why.endswith("\nline 99")
