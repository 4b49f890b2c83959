"""The socket of an endpoint: opened once and handed on, so that no connection is refused while processes change."""

import socket
import time
from pathlib import Path

from ml_platform.scoring.state import DECLARED_FILE, OBSERVED_FILE, Declared, Observed, read_state

ADDRESS = "127.0.0.1"
WAITING_CONNECTIONS = 2048
BIND_SECONDS = 3.0


def listen(directory: Path) -> socket.socket:
    """Listen on the declared port, else on the one chosen last time, else on any free one.

    It listens before a model is loaded: requests that come early wait instead of being turned away.
    """
    declared = read_state(directory / DECLARED_FILE, Declared)
    observed = read_state(directory / OBSERVED_FILE, Observed)
    if declared is None:
        raise SystemExit(f"{directory / DECLARED_FILE} is missing: nothing is declared to serve")
    port = declared.endpoint.port or (observed.port if observed else 0)
    return listen_at(ADDRESS, port)


def listen_at(address: str, port: int) -> socket.socket:
    """Listen on a port of this machine; raises SystemExit when it cannot be had."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    _bind(listener, address, port)
    listener.listen(WAITING_CONNECTIONS)
    return listener


def _bind(listener: socket.socket, address: str, port: int) -> None:
    """Take the port. The workers of a host that was killed may still have it, and are about to end."""
    deadline = time.monotonic() + BIND_SECONDS
    while True:
        try:
            listener.bind((address, port))
            return
        except OSError as error:
            if time.monotonic() > deadline:
                raise SystemExit(
                    f"port {port} of {address} cannot be had: {error}; declare another or free it"
                ) from error
        time.sleep(0.05)


def inherited(descriptor: int) -> socket.socket:
    """The socket that the process which started this one has opened."""
    return socket.socket(fileno=descriptor)
