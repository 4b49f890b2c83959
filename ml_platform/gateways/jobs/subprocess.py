"""Runs a program in a local process."""

import sys
from dataclasses import dataclass
from typing import Any

import dagster as dg
from dagster._core.errors import DagsterPipesExecutionError

from dbx_jobs.contract import REPORT_KEY, to_dict
from ml_platform.errors import JobError
from ml_platform.gateways.jobs.protocol import Program


@dataclass(frozen=True)
class SubprocessJobs:
    """Programs as child processes of the step, with the interpreter of the code location."""

    def run(
        self, context: dg.AssetExecutionContext | dg.AssetCheckExecutionContext, program: Program, request: Any
    ) -> dict:
        """See `Jobs.run`."""
        command = [sys.executable, "-m", program.value]
        try:
            invocation = dg.PipesSubprocessClient().run(
                context=context.op_execution_context, command=command, extras={"request": to_dict(request)}
            )
        except DagsterPipesExecutionError as error:
            raise JobError(f"{program.value} failed: {_reason(context)}") from error
        return _report(program, invocation)


def _reason(context: dg.AssetExecutionContext | dg.AssetCheckExecutionContext) -> str:
    """The error that the program sent before it closed Pipes; a killed program sent none."""
    step = context.get_step_execution_context().step.key
    events = context.instance.get_records_for_run(
        context.run.run_id, of_type=dg.DagsterEventType.ENGINE_EVENT, ascending=False
    )
    for record in events.records:
        event = record.event_log_entry.dagster_event
        if event and event.step_key == step and event.engine_event_data.error:
            return event.engine_event_data.error.message.strip()
    return "it was killed or ended without a word; its output stands in this step's stderr"


def _report(program: Program, invocation: dg.PipesClientCompletedInvocation) -> dict:
    # A program that never opened Pipes exits 0 as well: only its report proves that it ran to the end.
    reports = [message[REPORT_KEY] for message in invocation.get_custom_messages() if REPORT_KEY in message]
    if len(reports) != 1:
        raise JobError(f"{program.value} ended with {len(reports)} reports instead of one: nothing is recorded")
    return reports[0]
