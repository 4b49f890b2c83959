"""Which run of Databricks answers a step: one that an earlier attempt has left behind, or a new one.

An attempt has a token and a folder of the volume, both derived from what is asked. When the process that submitted a
run is killed, the attempt after it finds the run in the folder, or by the token if it was killed before it wrote there.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from hashlib import sha256
from itertools import count
from typing import Any

import dagster as dg
from databricks.sdk import WorkspaceClient
from databricks.sdk.errors import NotFound

from dbx_jobs.contract import to_dict
from ml_platform.gateways.jobs.databricks.client import steadily
from ml_platform.gateways.jobs.databricks.outcome import ended, succeeded
from ml_platform.gateways.jobs.databricks.volume import VolumeFiles
from ml_platform.gateways.jobs.invocation import Context
from ml_platform.gateways.jobs.protocol import Program

KEPT = timedelta(days=30)
"""So long the folders stay. Databricks itself forgets runs after 60 days."""

_ENDS = {dg.DagsterEventType.STEP_SUCCESS, dg.DagsterEventType.STEP_FAILURE, dg.DagsterEventType.STEP_UP_FOR_RETRY}
_KILLED = "ChildProcessCrashException"
"""What Dagster says of a step whose process is gone: the step itself has not said how it ended."""


@dataclass(frozen=True)
class Attempt:
    """`token` makes it one run, however often it is submitted; `folder` is where it speaks."""

    token: str
    folder: str

    @property
    def claim(self) -> str:
        """The file that says which run it is, and which run of Dagster asked last."""
        return f"{self.folder}/run.json"


class Attempts:
    """The attempts that the volume knows of."""

    def __init__(self, client: WorkspaceClient, files: VolumeFiles, volume: str) -> None:
        self._jobs, self._files, self._root = client.jobs, files, f"{volume}/pipes"

    def find(self, context: Context, program: Program, request: Any) -> Attempt:
        """The first attempt that may still give this step what it asks; its folder is there."""
        day = _day_of_root(context)
        for number in count(1):
            token = _token(context, program, request, number)
            attempt = Attempt(token, f"{self._root}/{day}/{token}")
            if not self._spent(context, attempt):
                self._files.make_folder(f"{attempt.folder}/messages")
                return attempt
        raise AssertionError("numbers do not end")

    def claim(self, context: Context, attempt: Attempt, run_id: int) -> None:
        """Write down that this run of Dagster waits for this run of Databricks."""
        claim = {"run_id": run_id, "dagster_run": context.run.run_id}
        self._files.write(attempt.claim, json.dumps(claim).encode())

    def forget(self, today: date) -> None:
        """Remove the folders of days that are long past."""
        for name, _ in self._files.entries(self._root):
            if re.fullmatch(r"\d{4}-\d\d-\d\d", name) and name < str(today - KEPT):
                self._files.remove(f"{self._root}/{name}")

    def _spent(self, context: Context, attempt: Attempt) -> bool:
        """Whether the run has nothing left to give: it failed, or its report came to a step that said how it ended."""
        claimed = self._files.read(attempt.claim)
        if claimed is None:
            return False
        claim = json.loads(claimed)
        try:
            run = steadily(self._jobs.get_run, claim["run_id"])
        except NotFound:
            return True
        return ended(run) and (not succeeded(run) or _said_how_it_ended(context, claim["dagster_run"]))


def _token(context: Context, program: Program, request: Any, number: int) -> str:
    """At most 64 characters, as Databricks wants it."""
    step = context.get_step_execution_context().step.key
    asked = [_root_of(context), step, program.value, to_dict(request), number]
    return sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()[:40]


def _root_of(context: Context) -> str:
    return context.run.root_run_id or context.run.run_id


def _day_of_root(context: Context) -> date:
    """The same day for every run that is started again for the first one."""
    record = context.instance.get_run_record_by_id(_root_of(context))
    return (record.create_timestamp if record else datetime.now(UTC)).date()


def _said_how_it_ended(context: Context, run_id: str) -> bool:
    step = context.get_step_execution_context().step.key
    records = context.instance.get_records_for_run(run_id, of_type=_ENDS).records
    return _ends(step, [record.event_log_entry.dagster_event for record in records])


def _ends(step: str, events: "Sequence[dg.DagsterEvent | None]") -> bool:
    for event in events:
        if event and event.step_key == step:
            error = event.step_failure_data.error if event.is_step_failure else None
            if not (error and error.cls_name == _KILLED):
                return True
    return False
