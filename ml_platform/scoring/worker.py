"""One worker of an endpoint: answers on the socket that all workers share, under uvicorn."""

import asyncio
import logging
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import uvicorn

from ml_platform.scoring.app import create_app
from ml_platform.scoring.host import POLL_SECONDS, Host
from ml_platform.scoring.inference_log import InferenceLog
from ml_platform.scoring.keys import Unlocked
from ml_platform.scoring.protocol import Protocol
from ml_platform.scoring.state import (
    DECLARED_FILE,
    LOCK_FILE,
    OBSERVED_FILE,
    REVIVAL_SECONDS,
    Observed,
    is_held,
    read_state,
)
from ml_platform.scoring.tracing import traced

DRAIN_SECONDS = 10
KEEP_ALIVE_SECONDS = 75
CONTAINER_FLUSH_SECONDS = 1.0
"""An append blob takes 50,000 blocks: as many seconds, where the log has a file an hour."""
STACK: dict[str, Any] = {
    "http": Protocol,
    "loop": "uvloop",
    "log_config": None,
    "access_log": False,
    "server_header": False,
    # A layer around the application that hides what that can do; who calls is asked by nobody here.
    "proxy_headers": False,
}
"""What of uvicorn answers, whatever the application."""

logger = logging.getLogger(__name__)


def serve(directory: Path, listener: socket.socket, contained: bool = False) -> None:
    """Serve `directory` until SIGTERM, or until the process that keeps the workers has died and another keeps its own.

    `contained` says that a front end has checked the keys, and that a container ends with its master.
    """
    host, master = _contained_host(directory) if contained else Host(directory), os.getppid()
    app = create_app(host, also=lambda: _look_after(host, master, listener, contained))
    config = uvicorn.Config(
        traced(app, service=directory.name),
        **STACK,
        lifespan="on",
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=DRAIN_SECONDS,
    )
    server = uvicorn.Server(config)
    server.run(sockets=[listener])


def _contained_host(directory: Path) -> Host:
    return Host(directory, Unlocked(), InferenceLog(CONTAINER_FLUSH_SECONDS))


async def _look_after(host: Host, master: int, listener: socket.socket, contained: bool) -> None:
    """End, with grace, when the process that keeps the workers has died or this one takes more memory than it may."""
    while os.getppid() == master and not _is_too_large(host):
        await asyncio.sleep(POLL_SECONDS)
    if os.getppid() != master:
        logger.error("the process that keeps the workers has died")
        if not contained:
            try:
                await _answer_on(host, master, listener)
            except (OSError, ValueError) as error:
                logger.error("no other can be waited for: %s", error)
    os.kill(os.getpid(), signal.SIGTERM)


async def _answer_on(host: Host, master: int, listener: socket.socket) -> None:
    """Have another master started on the same socket, and answer until its workers do or the endpoint is deleted.

    Each worker starts one; the lock lets one of them live.
    """
    host.orphaned = True
    started_at = -REVIVAL_SECONDS
    while (host.directory / DECLARED_FILE).exists() and not _is_kept(host.directory, master):
        now = time.monotonic()
        if not is_held(host.directory / LOCK_FILE) and now - started_at >= REVIVAL_SECONDS:
            start_master(host.directory, listener)
            started_at = now
        await asyncio.sleep(POLL_SECONDS)


def _is_kept(directory: Path, dead: int) -> bool:
    """Whether a living master has observed that all its workers follow the declaration."""
    observed = read_state(directory / OBSERVED_FILE, Observed)
    if observed is None or observed.pid == dead or not is_held(directory / LOCK_FILE):
        return False
    return (directory / LOCK_FILE).read_text() == str(observed.pid)


def _is_too_large(host: Host) -> bool:
    too_large = 0 < host.most_bytes < psutil.Process().memory_info().rss
    if too_large:
        logger.error("this worker takes more than %d bytes of memory and makes room for another", host.most_bytes)
    return too_large


def start_master(directory: Path, listener: socket.socket) -> None:
    """Start the keeper of workers, in a session of its own, on a socket that listens already."""
    number = listener.fileno()
    command = [sys.executable, "-m", "ml_platform.scoring", str(directory), "--listener", str(number)]
    subprocess.Popen(command, pass_fds=[number], start_new_session=True)


def start_worker(directory: Path, listener: socket.socket, contained: bool = False) -> "subprocess.Popen[bytes]":
    """Start a worker."""
    number = listener.fileno()
    command = [sys.executable, "-m", "ml_platform.scoring", str(directory), *(["--container"] if contained else [])]
    return subprocess.Popen([*command, "--listener", str(number), "--worker"], pass_fds=[number])
