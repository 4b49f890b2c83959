"""Runs a server on the loopback for as long as it is measured."""

import os
import re
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil

from benchmarks.wrk import Request
from ml_platform.processes import end_group
from ml_platform.scoring.encoding import OUTPUT
from ml_platform.scoring.listener import ADDRESS

START_SECONDS, STOP_SECONDS = 120.0, 10.0
TOLD = 3000


@dataclass(frozen=True)
class Target:
    """A running server: the request that is measured, and the process from which all its others come.

    `expected` is the probability that it must give, None where that is the champion's.
    """

    request: Request
    process: psutil.Process
    expected: float | None = None

    def memory(self) -> float:
        """MiB of resident memory of all its processes, what they share counted in each."""
        total = 0
        for process in (self.process, *self.process.children(recursive=True)):
            with suppress(psutil.NoSuchProcess):
                total += process.memory_info().rss
        return total / 2**20

    def probability(self) -> float:
        """What it answers to the request; raises SystemExit when that is no probability."""
        answer = _post(self.request)
        found = re.search(rf'"{OUTPUT}": ?([-+.e\d]+)', answer.text)
        if not answer.is_success or found is None:
            raise SystemExit(f"{self.request.uri} answers {answer.status_code}: {answer.text[:TOLD]}")
        return float(found[1])


def free_port() -> int:
    """A port of the loopback that nothing uses."""
    with socket.socket() as probe:
        probe.bind((ADDRESS, 0))
        return probe.getsockname()[1]


@contextmanager
def serving(command: list[str], environment: Mapping[str, str], request: Request, log: Path) -> Iterator[Target]:
    """The server that `command` starts, once it answers; what it writes goes to `log`."""
    with log.open("wb") as output:
        started = subprocess.Popen(
            command,
            env={**os.environ, **environment},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            # A group of its own: some of these servers leave workers behind when their first process ends.
            start_new_session=True,
        )
    leader = psutil.Process(started.pid)
    try:
        _wait(started, request, log)
        yield Target(request, leader)
    finally:
        end_group(leader, STOP_SECONDS)
        started.wait()


def _wait(started: "subprocess.Popen[bytes]", request: Request, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not _answers(request):
        if started.poll() is not None or time.monotonic() > deadline:
            how = "does not answer" if started.returncode is None else f"ended with {started.returncode}"
            tail = log.read_bytes()[-TOLD:].decode(errors="replace")
            raise SystemExit(f"the server of {request.uri} {how}; it said:\n{tail}")
        time.sleep(0.2)


def _answers(request: Request) -> bool:
    try:
        _post(request)
    except httpx.TransportError:
        return False
    return True


def _post(request: Request) -> httpx.Response:
    # Nothing here may go through a proxy of the environment.
    return httpx.post(request.uri, content=request.body, headers=dict(request.headers), timeout=10, trust_env=False)
