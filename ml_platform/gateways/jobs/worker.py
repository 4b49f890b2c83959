"""The process that `dbx_jobs.worker` is, seen from its owner."""

import json
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress

PATIENCE = 20.0
"""Seconds that a program has to end by itself when it is interrupted."""


class WorkerEnded(Exception):
    """The worker is gone and so is the program it ran; says which process and how it ended."""


class Worker:
    """A child process; it ends when its owner closes it or ends itself, however that happens.

    One that starts `early`, before there is anything to do, imports and starts meanwhile what programs need.
    """

    def __init__(self, early: bool = False) -> None:
        self._orders, theirs = socket.socketpair()
        with theirs:
            command = [sys.executable, "-m", "dbx_jobs.worker", str(theirs.fileno()), *(["early"] if early else [])]
            self._process = subprocess.Popen(command, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL)
        self._answers = self._orders.makefile("rb")
        self.programs = 0
        """How many it was asked to run."""

    @property
    def alive(self) -> bool:
        """Whether the process still runs."""
        return self._process.poll() is None

    def run(self, module: str, environment: Mapping[str, str]) -> int:
        """Run `module` as a program with this environment and this process's stdout and stderr; its exit code.

        Raises WorkerEnded when the process ends with it.
        """
        self.programs += 1
        order = json.dumps({"module": module, "environment": dict(environment)}).encode()
        try:
            # The streams go along: they are others for each step, when its output is captured.
            socket.send_fds(self._orders, [b"%d\n" % len(order)], [1, 2])
            self._orders.sendall(order)
            answer = self._answers.readline()
        except ConnectionError:
            answer = b""
        if not answer:
            raise WorkerEnded(f"The worker, process {self._process.pid}, ended with {self._ending()}")
        return json.loads(answer)["exit_code"]

    def interrupt(self) -> None:
        """End the process and what it runs: it is asked first, and killed after PATIENCE."""
        self._process.send_signal(signal.SIGINT)
        self._ending()
        self.close()

    def close(self) -> None:
        """End the process, which has nothing to do."""
        with suppress(OSError):  # it may be gone already
            self._orders.shutdown(socket.SHUT_RDWR)
        self._ending()
        self._answers.close()
        self._orders.close()

    def _ending(self) -> str:
        try:
            code = self._process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            code = self._process.wait()
        return f"signal {-code}" if code < 0 else f"exit code {code}"
