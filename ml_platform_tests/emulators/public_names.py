"""A proxy through which the public names of services lead to emulators: for clients that build the name themselves.

HTTPS_PROXY is what their libraries know; the tunnel is theirs, so that TLS is spoken with the emulator.
"""

import select
import socket
import socketserver
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import cast

SIZE = 1 << 16
HERE = "127.0.0.1,localhost"


class _Names(socketserver.ThreadingTCPServer):
    daemon_threads = True
    ports: Mapping[str, int]


class _Tunnel(socketserver.StreamRequestHandler):
    """One CONNECT."""

    rbufsize = 0  # what follows the head is the tunnel's

    def handle(self) -> None:
        method, target = self.rfile.readline().decode().split()[:2]
        while self.rfile.readline().strip():
            pass
        port = cast(_Names, self.server).ports.get(target.removesuffix(":443"))
        if method != "CONNECT" or port is None:
            self.wfile.write(b"HTTP/1.1 502 No such name\r\n\r\n")
            return
        with socket.create_connection(("127.0.0.1", port)) as service:
            self.wfile.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
            _join(self.connection, service)


def _join(one: socket.socket, other: socket.socket) -> None:
    ends = {one: other, other: one}
    while True:
        for ready in select.select(list(ends), [], [])[0]:
            try:
                if not (received := ready.recv(SIZE)):
                    return
                ends[ready].sendall(received)
            except OSError:
                return


@contextmanager
def public_names(ports: Mapping[str, int]) -> Iterator[dict[str, str]]:
    """Lead each name to a port of the loopback, others nowhere; the variables that say so to HTTP clients."""
    with _Names(("127.0.0.1", 0), _Tunnel) as proxy:
        proxy.ports = ports
        threading.Thread(target=proxy.serve_forever, args=(0.05,), daemon=True).start()
        address = f"http://127.0.0.1:{proxy.server_address[1]}"
        # gRPC, by which Spark is spoken to, knows the names in small letters only.
        yield {"HTTPS_PROXY": address, "https_proxy": address} | dict.fromkeys(("NO_PROXY", "no_proxy"), HERE)
        proxy.shutdown()
