"""What a program left behind in Dagster Pipes: its report, or the reason why it has none."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import dagster as dg
from dagster._core.pipes import utils as pipes_utils
from dagster._core.storage.tags import RETRY_ON_ASSET_OR_OP_FAILURE_TAG

from dbx_jobs.contract import REPORT_KEY
from ml_platform.errors import JobError
from ml_platform.gateways.jobs.protocol import Program

POLL_SECONDS = 0.01


def _whole_lines(path: str, should_stop: Callable[[], bool]) -> Iterator[str]:
    """The lines of a file that grows, until it is to stop: each once it has ended, and all that were there by then."""
    line = ""
    with Path(path).open(encoding="utf-8") as messages:
        over = False
        while not over:
            # Asked before the last look: what comes between a look and the answer would be lost.
            over = should_stop()
            while part := messages.readline():
                line += part
                if line.endswith("\n"):
                    yield line
                    line = ""
            if not over:
                time.sleep(POLL_SECONDS)


# Dagster's own takes a part of a line for a whole one, and misses what comes just before the end (1.13.27): either way
# the report of a program is lost. Its reader takes no other.
pipes_utils.tail_file = _whole_lines  # pyright: ignore[reportPrivateImportUsage]


Context = dg.AssetExecutionContext | dg.AssetCheckExecutionContext

NO_WORD = "it was killed or ended without a word; its output stands in this step's stderr"


def report_of(program: Program, invocation: dg.PipesClientCompletedInvocation, may_restart: bool = False) -> dict:
    """The report of a program that ended well; raises JobError when there is not exactly one.

    Where a program `may_restart`, having been preempted, what it reported last counts.
    """
    # A program that never opened Pipes exits 0 as well: only its report proves that it ran to the end.
    reports = [message[REPORT_KEY] for message in invocation.get_custom_messages() if REPORT_KEY in message]
    reports = reports[-1:] if may_restart else reports
    if len(reports) != 1:
        raise JobError(f"{program.value} ended with {len(reports)} reports instead of one: nothing is recorded")
    return reports[0]


def reason_of(context: Context) -> str:
    """The error that the program sent before it closed Pipes; a killed program sent none."""
    step = context.get_step_execution_context().step.key
    events = context.instance.get_records_for_run(
        context.run.run_id, of_type=dg.DagsterEventType.ENGINE_EVENT, ascending=False
    )
    for record in events.records:
        event = record.event_log_entry.dagster_event
        if event and event.step_key == step and event.engine_event_data.error:
            return event.engine_event_data.error.message.strip()
    return NO_WORD


def retry_later(context: Context) -> None:
    """Have the daemon run again what this run is about to fail in; a killed program did not fail by itself."""
    context.instance.add_run_tags(context.run.run_id, {RETRY_ON_ASSET_OR_OP_FAILURE_TAG: "true"})
