"""Ports of the loopback for servers that must be told theirs."""

import socket
from random import SystemRandom

BELOW_EPHEMERAL = (15_000, 32_000)
"""Where no port lies that the kernel gives to callers, or to servers that ask for any: none is taken meanwhile."""


def free_port() -> int:
    """A port that nobody listens on."""
    while True:
        port = SystemRandom().randrange(*BELOW_EPHEMERAL)
        try:
            with socket.create_server(("127.0.0.1", port)):
                return port
        except OSError:
            continue
