"""Serves one endpoint directory: python -m ml_platform.scoring DIRECTORY; or, in a container, one deployment."""

import argparse
import logging
import os
import resource
from pathlib import Path

from ml_platform.scoring.container import contain
from ml_platform.scoring.listener import inherited, listen
from ml_platform.scoring.master import Master
from ml_platform.scoring.state import LOCK_FILE, exclusive
from ml_platform.scoring.tracing import exporters
from ml_platform.scoring.worker import serve


def main() -> None:
    """Parse the command line and serve until SIGTERM, which lets requests end and writes out the inference log."""
    parser = argparse.ArgumentParser(prog="python -m ml_platform.scoring", description=__doc__)
    parser.add_argument("directory", type=Path, nargs="?", help="of the endpoint, with declared.json and keys.json")
    parser.add_argument("--listener", type=int, help="descriptor of a socket that listens already")
    parser.add_argument("--worker", action="store_true", help="be a worker of the host that started this")
    parser.add_argument("--container", action="store_true", help="serve what the environment declares, without keys")
    arguments = parser.parse_args()
    directory: Path | None = arguments.directory
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(process)d %(name)s: %(message)s")
    # Each call to the lake, at this level.
    logging.getLogger("azure").setLevel(logging.WARNING)
    _open_many_files()
    if arguments.worker and directory:
        serve(directory, inherited(arguments.listener), arguments.container)
        return
    # Traces that cannot be made end the host now, not each of its workers again and again.
    exporters()
    if arguments.container:
        contain(os.environ)
        return
    if directory is None:
        parser.error("name the endpoint's directory")
    # Whoever only asks whether the lock is held holds it for an instant, hence the patience.
    with exclusive(directory / LOCK_FILE, seconds=2) as lock:
        os.ftruncate(lock, 0)
        os.write(lock, str(os.getpid()).encode())
        given = arguments.listener
        Master(directory, inherited(given) if given is not None else listen(directory)).run()


def _open_many_files() -> None:
    """Let callers that keep idle connections not use up what a process may open: most systems say 1024 unasked."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


if __name__ == "__main__":
    main()
