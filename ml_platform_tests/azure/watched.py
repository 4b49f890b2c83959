"""What any process list would have shown while something ran: every command line, looked at many times a second."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import psutil

SECONDS = 0.2


@contextmanager
def command_lines() -> Iterator[set[str]]:
    """The command lines of all processes of this machine, as they come up."""
    seen: set[str] = set()
    over = threading.Event()

    def look() -> None:
        while not over.wait(SECONDS):
            for process in psutil.process_iter(["cmdline"]):
                seen.add(" ".join(process.info["cmdline"] or ()))

    thread = threading.Thread(target=look, name="command-lines", daemon=True)
    thread.start()
    try:
        yield seen
    finally:
        over.set()
        thread.join()
