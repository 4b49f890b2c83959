"""Runs a job in a process of its own, as Dagster Pipes starts it, and kills it at chosen points of its work."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from dagster_pipes import DAGSTER_PIPES_CONTEXT_ENV_VAR, DAGSTER_PIPES_MESSAGES_ENV_VAR, encode_param

from dbx_jobs.contract import REPORT_KEY, to_dict
from ml_platform_tests.jobs.landed import Lake

DEADLINE = 120


def run_program(
    module: str, request: Any, folder: Path, variables: Mapping[str, str] = os.environ
) -> "subprocess.Popen[bytes]":
    """Start `python -m <module>` with the environment that Pipes gives, messages going to a file in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    context = {
        "asset_keys": None,
        "code_version_by_asset_key": None,
        "provenance_by_asset_key": None,
        "partition_key": None,
        "partition_key_range": None,
        "partition_time_window": None,
        "run_id": "run",
        "job_name": None,
        "retry_number": 0,
        "extras": {"request": to_dict(request)},
    }
    (folder / "context.json").write_text(json.dumps(context))
    messages = folder / "messages.jsonl"
    messages.write_text("")
    environment = dict(variables) | {
        "TMPDIR": str(folder),  # what a killed process leaves there goes with the test
        DAGSTER_PIPES_CONTEXT_ENV_VAR: encode_param({"path": str(folder / "context.json")}),
        DAGSTER_PIPES_MESSAGES_ENV_VAR: encode_param({"path": str(messages)}),
    }
    return subprocess.Popen([sys.executable, "-m", module], env=environment, start_new_session=True)


def report_of(folder: Path) -> dict[str, Any]:
    """The one report among the Pipes messages."""
    messages = [json.loads(line) for line in (folder / "messages.jsonl").read_text().splitlines()]
    [report] = [m["params"]["payload"][REPORT_KEY] for m in messages if m["method"] == "report_custom_message"]
    return report


def killed_at(lake: Lake, module: str, request: Any, milestones: Iterable[int]) -> int:
    """Start the job once for each milestone and SIGKILL it when so many files have appeared; how many were killed.

    Files are those in the tables: data files, logs and the writers' temporary files, so that kills fall before, within
    and between commits.
    """
    killed = 0
    for n, milestone in enumerate(milestones):
        before = _files(lake)
        process = run_program(module, request, lake.root / f"pipes{n}")
        deadline = time.monotonic() + DEADLINE
        while process.poll() is None and len(_files(lake) - before) < max(milestone, 0):
            assert time.monotonic() < deadline, f"{module} neither ended nor wrote {milestone} files"
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            killed += 1
        process.wait(DEADLINE)
    return killed


def _files(lake: Lake) -> set[Path]:
    tables = (lake.root / "lake", lake.root / "quarantine", lake.root / "features")
    return {path for table in tables for path in table.rglob("*")}
