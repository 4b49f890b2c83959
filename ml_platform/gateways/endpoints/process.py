"""Starts and stops the process of a local endpoint."""

import os
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import psutil

from ml_platform.errors import EndpointError
from ml_platform.scoring.state import LOCK_FILE, exclusive, is_held

LOG_FILE = "host.log"
LOG_TAIL_BYTES = 3000


def start_host(directory: Path) -> subprocess.Popen[bytes]:
    """Start the host of `directory` in a session of its own, so that it outlives this process and its terminal."""
    # The pid in the lock file is the dead host's: until the new one has written its own, there must be none.
    with suppress(TimeoutError), exclusive(directory / LOCK_FILE, seconds=0) as lock:
        os.ftruncate(lock, 0)
    with (directory / LOG_FILE).open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "ml_platform.scoring", str(directory)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )


def host_is_alive(directory: Path) -> bool:
    """Whether a host serves `directory`: it holds the lock for as long as it lives."""
    return is_held(directory / LOCK_FILE)


def stop_host(directory: Path, seconds: float) -> None:
    """End the host of `directory` with SIGTERM and wait; after `seconds` with SIGKILL. Does nothing when none lives."""
    try:
        process = _living_host(directory, seconds)
        if process is None:
            return
        workers = process.children()
        process.terminate()
        try:
            process.wait(seconds)
        except psutil.TimeoutExpired:
            # Its workers too: they outlive a host that dies, and start another.
            for each in (*workers, process):
                each.kill()
            process.wait(seconds)
    except psutil.NoSuchProcess:
        return
    except psutil.TimeoutExpired as error:
        raise EndpointError(f"the host of {directory} does not end, not even by SIGKILL: {error}") from error


def _living_host(directory: Path, seconds: float) -> psutil.Process | None:
    """The host's process. A recycled pid is never taken for it: the lock is still held after the process was looked
    up, so it is the host's, and psutil compares its start time again before it sends a signal.
    """
    deadline = time.monotonic() + seconds
    path = directory / LOCK_FILE
    while not (pid := path.read_text() if path.exists() else ""):
        if not host_is_alive(directory):
            return None
        if time.monotonic() > deadline:
            raise EndpointError(f"{path} is held but names no process; end whatever holds it")
        time.sleep(0.02)
    process = psutil.Process(int(pid))
    return process if host_is_alive(directory) else None


def log_tail(directory: Path) -> str:
    """The last lines that the host of `directory` has written."""
    path = directory / LOG_FILE
    if not path.exists():
        return "(it wrote nothing)"
    return path.read_bytes()[-LOG_TAIL_BYTES:].decode(errors="replace")
