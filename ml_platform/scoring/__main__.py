"""Serves one endpoint directory: python -m ml_platform.scoring DIRECTORY."""

import argparse
import logging
import os
import socket
from pathlib import Path

import uvicorn

from ml_platform.scoring.app import create_app
from ml_platform.scoring.host import Host
from ml_platform.scoring.state import DECLARED_FILE, LOCK_FILE, OBSERVED_FILE, Declared, Observed, exclusive, read_state

ADDRESS = "127.0.0.1"
DRAIN_SECONDS = 10
KEEP_ALIVE_SECONDS = 75


def main() -> None:
    """Parse the command line and serve until SIGTERM, which lets requests end and writes out the inference log."""
    parser = argparse.ArgumentParser(prog="python -m ml_platform.scoring", description=__doc__)
    parser.add_argument("directory", type=Path, help="the endpoint's directory, with declared.json and keys.json")
    directory: Path = parser.parse_args().directory
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    # Whoever only asks whether the lock is held holds it for an instant, hence the patience.
    with exclusive(directory / LOCK_FILE, seconds=2) as lock:
        os.ftruncate(lock, 0)
        os.write(lock, str(os.getpid()).encode())
        serve(directory)


def serve(directory: Path) -> None:
    """Serve `directory` on its port; the caller holds its lock."""
    listener = _listen(_port(directory))
    host = Host(directory, listener.getsockname()[1])
    config = uvicorn.Config(
        create_app(host),
        http="httptools",
        loop="uvloop",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=DRAIN_SECONDS,
    )
    uvicorn.Server(config).run(sockets=[listener])


def _port(directory: Path) -> int:
    """The declared port, else the one chosen last time, else 0: any free one."""
    declared = read_state(directory / DECLARED_FILE, Declared)
    observed = read_state(directory / OBSERVED_FILE, Observed)
    if declared is None:
        raise SystemExit(f"{directory / DECLARED_FILE} is missing: nothing is declared to serve")
    return declared.endpoint.port or (observed.port if observed else 0)


def _listen(port: int) -> socket.socket:
    """Listen before the model is loaded: requests that come early wait instead of being turned away."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((ADDRESS, port))
    except OSError as error:
        raise SystemExit(f"port {port} of {ADDRESS} cannot be had: {error}; declare another or free it") from error
    listener.listen(2048)
    return listener


if __name__ == "__main__":
    main()
