"""Keeps the workers of an endpoint: as many as are declared, started again when they end, observed as one."""

import logging
import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path
from threading import Event

from ml_platform.scoring.state import (
    DECLARED_FILE,
    MEASURES_FOLDER,
    OBSERVED_FILE,
    WORKERS_FOLDER,
    Declared,
    Observed,
    read_state,
    write_state,
)
from ml_platform.scoring.worker import DRAIN_SECONDS, start_worker

LOOK_SECONDS = 0.05
PAUSE_SECONDS = 1.0
"""Before a worker is started again that lived for less than this."""

logger = logging.getLogger(__name__)


class _Place:
    """A worker's place and the process that has it."""

    def __init__(self, directory: Path, listener: socket.socket, contained: bool) -> None:
        self._contained = contained
        self._directory, self._listener = directory, listener
        self._start()

    def _start(self) -> None:
        self.process = start_worker(self._directory, self._listener, self._contained)
        self._started_at = time.monotonic()

    def keep(self) -> None:
        """Start the worker again when it has ended."""
        code, lived = self.process.poll(), time.monotonic() - self._started_at
        if code is not None and lived > PAUSE_SECONDS:
            logger.error("worker %d ended with code %d and another is started", self.process.pid, code)
            self._told.unlink(missing_ok=True)
            self._start()

    @property
    def _told(self) -> Path:
        return self._directory / WORKERS_FOLDER / f"{self.process.pid}.json"

    @property
    def observed(self) -> Observed | None:
        """What the living worker has made of the declaration."""
        return read_state(self._told, Observed)

    def end(self) -> None:
        """Ask the worker to end once it has answered what it has begun."""
        self.process.terminate()

    def wait(self) -> None:
        """Wait until it has ended, and end it when it does not."""
        try:
            self.process.wait(DRAIN_SECONDS + 2)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


class Master:
    """Keeps the workers of `directory` on the socket `listener`; the caller holds the endpoint's lock.

    `contained` workers answer without a key. `ended` may be set to end them.
    """

    def __init__(self, directory: Path, listener: socket.socket, contained: bool = False) -> None:
        self._directory, self._listener, self._contained = directory, listener, contained
        self._places: list[_Place] = []
        self.ended = Event()
        self._told: Observed | None = None

    def run(self) -> None:
        """Keep the workers until SIGTERM or SIGINT, then let them drain."""
        for name in (signal.SIGTERM, signal.SIGINT):
            signal.signal(name, lambda *_: self.ended.set())
        # What the workers of a host that is gone have counted and observed says nothing about this one's.
        for folder in (MEASURES_FOLDER, WORKERS_FOLDER):
            shutil.rmtree(self._directory / folder, ignore_errors=True)
        try:
            while not self.ended.wait(LOOK_SECONDS):
                self._look()
        finally:
            # From here on nobody may wait at the socket for workers that leave it.
            self._listener.close()
            for place in self._places:
                place.end()
            for place in self._places:
                place.wait()

    def _look(self) -> None:
        try:
            declared = read_state(self._directory / DECLARED_FILE, Declared)
            if declared is None:
                # The endpoint was deleted, perhaps while the host before this one had just died.
                self.ended.set()
                return
            self._keep(declared.endpoint.workers)
            self._tell()
        except (OSError, ValueError) as error:
            logger.error("the endpoint's directory cannot be followed: %s", error)

    def _keep(self, count: int) -> None:
        for place in self._places:
            place.keep()
        while len(self._places) < count:
            self._places.append(_Place(self._directory, self._listener, self._contained))
        if len(self._places) > count:
            *self._places, extra = self._places
            extra.end()
            extra.wait()

    def _tell(self) -> None:
        """Write down what all workers agree on: nothing is observed before each of them has observed it."""
        found = [place.observed for place in self._places]
        seen = [each for each in found if each is not None]
        if not seen or len(seen) < len(found):
            return
        refused: dict[str, str] = {}
        for each in seen:
            refused |= each.refused
        port = self._listener.getsockname()[1]
        observed = Observed(min(each.generation for each in seen), os.getpid(), port, refused)
        if observed != self._told:
            write_state(self._directory / OBSERVED_FILE, observed)
            self._told = observed
