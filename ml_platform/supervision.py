"""Keeps the processes of services up: what ends is started again, after a pause that grows while it keeps ending."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from ml_platform.errors import PlatformError
from ml_platform.processes import end_group, identity, living
from ml_platform.scoring.state import exclusive

START_SECONDS = 120
STOP_SECONDS = 20
LOOK_SECONDS = 0.2
LONGEST_PAUSE = 30
SETTLED_SECONDS = 20
"""A service that has lived so long is started again at once when it ends."""


@dataclass(frozen=True)
class Service:
    """A program that is to run for as long as the services are up."""

    name: str
    module: str
    arguments: Sequence[str]
    url: str
    answers: Callable[[], bool]
    """Whether it is ready: asked at the start only."""
    before_others: bool = False
    """Whether those that come after it are started only once it answers."""


@contextmanager
def supervised(services: Sequence[Service], folder: Path, environment: Mapping[str, str], cwd: Path) -> Iterator[None]:
    """Run `services`, in their order, each with its log and its process noted in `folder`; the last is ended first.

    Raises PlatformError when one ends or does not answer at the start, or when `folder`'s services are up already.
    What a supervisor that was killed has left running is ended first: two daemons on one instance do things twice.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        # As a shell has it for what runs in its background: the services would inherit that, and could not be stopped.
        signal.signal(signal.SIGINT, signal.default_int_handler)
    with ExitStack() as stack:
        try:
            stack.enter_context(exclusive(folder / "lock", seconds=1))
        except TimeoutError as error:
            raise PlatformError(f"These services are up already, or being started: {error}. Stop them first") from error
        kept = [_Kept(service, folder, environment, cwd) for service in services]
        for one in kept:
            one.end_leftover()
        for one in kept:
            one.start()
            stack.callback(one.stop)
            if one.service.before_others:
                one.wait_until_it_answers()
        for one in kept:
            one.wait_until_it_answers()
        ended = threading.Event()
        watcher = threading.Thread(target=_keep, args=(kept, ended), name="supervisor", daemon=True)
        watcher.start()
        # Runs before the services are stopped, so that none of them is started again.
        stack.callback(lambda: (ended.set(), watcher.join()))
        yield


class _Kept:
    def __init__(self, service: Service, folder: Path, environment: Mapping[str, str], cwd: Path) -> None:
        self.service, self._environment, self._cwd = service, environment, cwd
        file = service.name.lower().replace(" ", "-")
        self.log, self._noted = folder / f"{file}.log", folder / f"{file}.process"
        self._process: subprocess.Popen[bytes] | None = None
        self._started_at, self._start_at, self._pause = 0.0, 0.0, 0.0

    def start(self) -> None:
        with self.log.open("ab") as output:
            # A session of its own, so that what it started can be ended with it.
            self._process = subprocess.Popen(
                [sys.executable, "-m", self.service.module, *self.service.arguments],
                cwd=self._cwd,
                env=dict(self._environment),
                stdout=output,
                stderr=output,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
        self._started_at = time.monotonic()
        unfinished = self._noted.with_suffix(".part")
        unfinished.write_text(identity(psutil.Process(self._process.pid)))
        unfinished.replace(self._noted)

    def keep(self) -> None:
        """Start it again when it has ended and its pause is over."""
        now = time.monotonic()
        if self._process and self._process.poll() is not None:
            self._kill_group(self._process.pid)
            settled = now - self._started_at > SETTLED_SECONDS
            self._pause = 0 if settled else min(max(1, 2 * self._pause), LONGEST_PAUSE)
            self._start_at, self._process = now + self._pause, None
        if self._process is None and now >= self._start_at:
            self.start()

    def stop(self) -> None:
        if self._process is None:
            return
        for sign in (signal.SIGINT, signal.SIGKILL):
            with suppress(ProcessLookupError, subprocess.TimeoutExpired):
                os.killpg(self._process.pid, sign)
                self._process.wait(STOP_SECONDS)
        self._kill_group(self._process.pid)

    def end_leftover(self) -> None:
        process = living(self._noted.read_text()) if self._noted.exists() else None
        if process:
            end_group(process, STOP_SECONDS)

    def wait_until_it_answers(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while not self.service.answers():
            if self._process and (code := self._process.poll()) is not None:
                raise PlatformError(f"{self.service.name} ended with code {code}; its log is {self.log}")
            if time.monotonic() > deadline:
                raise PlatformError(
                    f"{self.service.name} did not answer within {START_SECONDS} s; its log is {self.log}"
                )
            time.sleep(LOOK_SECONDS)

    def _kill_group(self, number: int) -> None:
        with suppress(ProcessLookupError):
            os.killpg(number, signal.SIGKILL)


def _keep(kept: Sequence[_Kept], ended: threading.Event) -> None:
    while not ended.wait(LOOK_SECONDS):
        for one in kept:
            # The machine may have no process or file to give just now: the next look tries again.
            with suppress(OSError):
                one.keep()
