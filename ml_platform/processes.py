"""Names processes so that a number that was given again is never taken for the process that had it before."""

import os
import signal
from contextlib import suppress

import psutil


def identity(process: psutil.Process | None = None) -> str:
    """The process (this one by default) as pid and start time."""
    process = process or psutil.Process()
    return f"{process.pid} started {process.create_time()}"


def living(named: str) -> psutil.Process | None:
    """The process of an identity, or None when it has ended; one that only waits to be reaped has."""
    with suppress(psutil.NoSuchProcess):
        process = psutil.Process(int(named.split()[0]))
        if identity(process) == named and process.status() != psutil.STATUS_ZOMBIE:
            return process
    return None


def end_group(leader: psutil.Process, seconds: float) -> None:
    """Ask a process to end with SIGTERM; after `seconds`, or once it has, kill what is left of the group it leads."""
    with suppress(psutil.NoSuchProcess):
        leader.send_signal(signal.SIGTERM)
    psutil.wait_procs([leader], seconds)
    left = group(leader.pid)
    for process in left:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(left, seconds)


def group(number: int) -> list[psutil.Process]:
    """The living processes of a process group."""
    found = []
    for process in psutil.process_iter():
        with suppress(ProcessLookupError, PermissionError):
            if os.getpgid(process.pid) == number:
                found.append(process)
    return found
