"""The line ends the same however often it runs, whatever is killed, and follows a corrected file."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import date
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from mlflow import MlflowClient

from ml_platform.core import keys
from ml_platform.upstream import SNAPSHOTS
from ml_platform_tests.e2e.line import DAILY, MONITORING, PRODUCT, Line, copy_of, environment_of

DEADLINE = 180
FEW_DAYS = ("2013-01-01", "2013-01-08")
CORRECTED, AROUND = "2013-01-15", ("2013-01-12", "2013-01-18")


def registered(line: Line) -> list[tuple[str, str | None]]:
    versions = MlflowClient(line.settings.mlflow_tracking_uri).search_model_versions(f"name='{PRODUCT}'")
    return [(version.version, version.run_id) for version in versions]


def test_running_the_whole_line_again_changes_no_table_and_registers_no_version(line: Line) -> None:
    tables, versions, serving = line.tables(), registered(line), line.gateways.endpoints.state(PRODUCT)
    assert len(tables) == len(DAILY) + len(SNAPSHOTS) + len(MONITORING) + 1, "the ledger is one more"
    assert len(versions) == 1
    line.run()
    assert line.tables() == tables
    assert registered(line) == versions
    assert line.gateways.endpoints.state(PRODUCT) == serving
    assert line.metadata(keys.candidate(PRODUCT))["reused"].value is True


def test_a_corrected_file_changes_exactly_its_day(line: Line, tmp_path: Path) -> None:
    flights = keys.lake("flights")
    with copy_of(line, tmp_path / "copy") as copy:
        before, rows = copy.data_versions(flights), copy.read(flights)
        file = copy.settings.home / "lake" / "landing" / "flights" / CORRECTED / "flights.csv"
        landed: Any = pd.read_csv(file, dtype="string")
        delay_before = int(landed.loc[0, "arr_delay"])
        landed.loc[0, "arr_delay"] = "61"
        landed.to_csv(file, index=False)
        copy.materialise([flights], AROUND)
        after, corrected = copy.data_versions(flights), copy.read(flights)
    assert {day for day in before if after[day] != before[day]} == {CORRECTED}
    of_day = corrected["day"] == date.fromisoformat(CORRECTED)
    same = rows["day"] != date.fromisoformat(CORRECTED)
    pd.testing.assert_frame_equal(corrected[~of_day].reset_index(drop=True), rows[same].reset_index(drop=True))
    assert corrected[of_day]["arr_delay"].sum() - rows[~same]["arr_delay"].sum() == 61 - delay_before


@pytest.mark.loop
def test_a_run_that_was_killed_twice_and_run_again_gives_the_tables_of_an_undisturbed_one(
    line: Line, tmp_path: Path
) -> None:
    with copy_of(line, tmp_path / "killed") as other:
        for path in DAILY:
            shutil.rmtree(folder(other, path))
        for path in (keys.lake("flights"), keys.features(PRODUCT)):
            table = folder(other, path)
            with running(other, tmp_path) as run:
                eventually(lambda table=table, run=run: table.exists() or run.poll() is not None)
                run.send_signal(signal.SIGKILL)
                assert run.wait(DEADLINE) == -signal.SIGKILL, "the run had ended before it could be killed"
                # The program that the run had started lives on: the next run meets its writes.
        with running(other, tmp_path) as run:
            assert run.wait(DEADLINE) == 0
        for path in DAILY:
            pd.testing.assert_frame_equal(other.read(path), line.read(path, FEW_DAYS), check_dtype=False)


def folder(line: Line, path: keys.AssetPath) -> Path:
    return Path(line.settings.home, "lake", *path)


@contextmanager
def running(line: Line, scratch: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """A run of the daily tables in a process of its own, which ends with the test at the latest."""
    command = [sys.executable, "-m", "ml_platform_tests.e2e.daily_run", *FEW_DAYS]
    with environment_of(line.settings):
        process = subprocess.Popen(command, env=os.environ | {"TMPDIR": str(scratch)}, start_new_session=True)
    try:
        yield process
    finally:
        if process.poll() is None:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def eventually(happened: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE
    while not happened():
        assert time.monotonic() < deadline, f"nothing happened in {DEADLINE} s"
        time.sleep(0.01)
