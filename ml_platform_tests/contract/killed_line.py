"""A job of one asset, whose program runs elsewhere, in processes that tests kill and interrupt."""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster._core.errors import DagsterExecutionInterruptedError

from ml_platform_tests.contract.place import Place, until

Happened = Callable[[], bool]


class KilledLine:
    """Runs `python -m module ARGUMENTS WAY WORD [RUN]` on one Dagster instance; its program leaves word in `word`."""

    def __init__(self, folder: Path, way: str, module: str, *arguments: str, seconds: float = 60) -> None:
        self.word, self._home, self._seconds = folder / "word", folder / "dagster", seconds
        self._command = [sys.executable, "-m", f"ml_platform_tests.contract.{module}"]
        self._command += [*arguments, way, str(self.word)]
        self._home.mkdir()

    @contextmanager
    def started(self, *again: str, **variables: str) -> "Iterator[subprocess.Popen[str]]":
        """A process that runs it; one that is still there in the end is killed."""
        environment = {**os.environ, "DAGSTER_HOME": str(self._home), **variables}
        command = [*self._command, *again]
        with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
            yield process
            process.kill()

    def run(self, *again: str, **variables: str) -> tuple[bool, dict[str, Any]]:
        """Whether it ended well, and the report."""
        with self.started(*again, **variables) as process:
            out, _ = process.communicate(timeout=120)
            return process.returncode == 0, json.loads(out or "{}")

    def killed(self) -> str:
        """Run it until its program is under way, and kill it; the run's id."""
        with self.started() as process:
            until(lambda: said(self.word), self._seconds)
            process.send_signal(signal.SIGKILL)
        return self.last()

    def last(self) -> str:
        """The id of the newest run of Dagster."""
        with dg.DagsterInstance.from_config(str(self._home)) as instance:
            return instance.get_runs(limit=1)[0].run_id

    def tell(self) -> None:
        """Let the program end."""
        self.word.with_name("told").touch()


def said(word: Path) -> bool:
    """Whether a program has left word."""
    return word.exists() and word.read_text() != ""


def interrupted(place: Place, word: Path, when: Happened, seconds: float = 60) -> None:
    """Run a program that works for ten minutes, and interrupt its step."""

    def interrupt() -> None:
        until(when, seconds)
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    threading.Thread(target=interrupt).start()
    with pytest.raises(DagsterExecutionInterruptedError):
        place.run("works_on", word)


def job_of(table: dg.AssetsDefinition, executor: dg.ExecutorDefinition = dg.in_process_executor) -> dg.JobDefinition:
    """The job `line` of one asset."""
    job = dg.define_asset_job("line", executor_def=executor)
    return dg.Definitions([table], jobs=[job]).resolve_job_def("line")


def executed(line: Callable[[], dg.JobDefinition], again: str | None) -> bool:
    """Whether a run of the job ended well; `again` is the run to do again."""
    options = dg.ReexecutionOptions(again) if again else None
    with dg.DagsterInstance.get() as instance:
        done = dg.execute_job(dg.reconstructable(line), instance, reexecution_options=options, raise_on_error=False)
    return done.success
