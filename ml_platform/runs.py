"""Runs a selection of the graph in this process, against the persistent instance, and tells how it goes."""

import logging
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

import dagster as dg

from ml_platform.core.keys import AssetPath
from ml_platform.errors import JobError
from ml_platform.gateways.run_launcher import PROCESS_TAG, end_remains, end_run, worker_of
from ml_platform.processes import end_group, identity, living

POLL_SECONDS = 0.25
INTERRUPTION_SECONDS = 30
RANGE_TAGS = ("dagster/asset_partition_range_start", "dagster/asset_partition_range_end")
STEP_EVENTS = {"STEP_START": "started", "STEP_SUCCESS": "done", "STEP_FAILURE": "failed", "STEP_SKIPPED": "skipped"}
ENDINGS = ("done", "failed", "skipped")

Progress = Callable[[str, str], None]


def materialise(
    instance: dg.DagsterInstance,
    definitions: dg.Definitions,
    selection: Sequence[AssetPath],
    progress: Progress,
    days: tuple[str, str] | None = None,
    config: Mapping[str, Any] | None = None,
) -> str:
    """Materialise `selection` with its checks as one run and return the run's id; `days` is a closed range.

    `progress` is told the step and `started`, `done`, `failed` or `skipped`, and between them what its program logs.
    Raises JobError, with the failed steps' messages, when the run fails: a failed blocking check fails it too.
    """
    end_abandoned(instance)
    run_id = str(uuid4())
    logging.getLogger("dagster").setLevel(logging.CRITICAL)
    with _watch(instance, run_id, progress):
        result = definitions.resolve_implicit_global_asset_job_def().execute_in_process(
            run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}, "ops": dict(config or {})},
            instance=instance,
            asset_selection=[dg.AssetKey(path) for path in selection],
            tags={PROCESS_TAG: identity()} | (dict(zip(RANGE_TAGS, days, strict=True)) if days else {}),
            run_id=run_id,
            raise_on_error=False,
        )
    if not result.success:
        raise JobError(f"Run {run_id} failed: " + "; ".join(_failures(instance, run_id)))
    return run_id


def end_abandoned(instance: dg.DagsterInstance) -> None:
    """Fail the runs whose process is gone, as Dagster's monitoring does where a daemon runs.

    A killed process leaves its run started, with its place in the pools of its tables: later runs would wait for ever.
    """
    for run in instance.get_runs(dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED])):
        named = run.tags.get(PROCESS_TAG)
        if named and not living(named):
            end_remains(run)
            end_run(instance, run, f"The process of this run ended without a word: {named}")


def end_workers(instance: dg.DagsterInstance) -> None:
    """Interrupt the runs that workers execute, for when the services are stopped: the next daemon starts them again."""
    statuses = [dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELING]
    workers = [worker for run in instance.get_runs(dg.RunsFilter(statuses=statuses)) if (worker := worker_of(run))]
    for worker in workers:
        end_group(worker, INTERRUPTION_SECONDS)


@contextmanager
def _watch(instance: dg.DagsterInstance, run_id: str, progress: Progress) -> Iterator[None]:
    """Follow the run's events from a thread: its steps run in this one."""
    ended = threading.Event()

    def follow() -> None:
        cursor: str | None = None
        last_look = False
        while not last_look:
            last_look = ended.wait(POLL_SECONDS)
            cursor = _tell(instance, run_id, progress, cursor)

    watcher = threading.Thread(target=follow, name="run-progress", daemon=True)
    watcher.start()
    try:
        yield
    finally:
        ended.set()
        watcher.join()


def _tell(instance: dg.DagsterInstance, run_id: str, progress: Progress, cursor: str | None) -> str:
    connection = instance.get_records_for_run(run_id, cursor)
    for record in connection.records:
        entry = record.event_log_entry
        if entry.dagster_event and entry.step_key and entry.dagster_event.event_type_value in STEP_EVENTS:
            progress(entry.step_key, STEP_EVENTS[entry.dagster_event.event_type_value])
        elif entry.dagster_event is None and entry.step_key and not entry.user_message.startswith("[pipes]"):
            progress(entry.step_key, entry.user_message)
    return connection.cursor


def _failures(instance: dg.DagsterInstance, run_id: str) -> list[str]:
    records = instance.get_records_for_run(run_id, of_type=dg.DagsterEventType.STEP_FAILURE).records
    messages = []
    for record in records:
        event = record.event_log_entry.dagster_event
        if event is None or event.step_failure_data.error is None:
            continue
        # Dagster's wrapper around what the step raised says nothing of its own.
        error = event.step_failure_data.error.cause or event.step_failure_data.error
        messages.append(f"{event.step_key}: {error.message.strip()}")
    return messages
