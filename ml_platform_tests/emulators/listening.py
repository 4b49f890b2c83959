"""Serves an emulator's application: recorder and faults around it, TLS if a certificate is named.

The first line of output is the addresses, separated by spaces: the main one (TLS if there is a certificate), then a
plain one if asked for. The process ends when its standard input does, so it never outlives who started it.
"""

import asyncio
import os
import socket
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import uvicorn
from starlette.applications import Starlette
from starlette.responses import Response
from starlette.types import ASGIApp

from ml_platform_tests.emulators.faults import Fault, FaultInjector, Faults, fault_routes
from ml_platform_tests.emulators.identity import Identity
from ml_platform_tests.emulators.recording import Record, Recorder, record_routes, with_unknown_routes

LOCAL = "127.0.0.1"


@dataclass(frozen=True)
class Listening:
    """What the starter said by environment (see `process.started`)."""

    folder: Path
    certificate: str
    identity: Identity

    @staticmethod
    def read() -> "Listening":
        get = os.environ.get
        identity = Identity(get("EMULATOR_SECRET", "secret"), get("EMULATOR_KEY", "key"))
        identity.seconds = int(get("EMULATOR_TOKEN_SECONDS", str(identity.seconds)))
        return Listening(Path(get("EMULATOR_FOLDER", ".")), get("EMULATOR_CERTIFICATE", ""), identity)


def socket_at(port: int = 0) -> socket.socket:
    """A bound socket, so that an application can know its address before it is built."""
    bound = socket.socket()
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    bound.bind((LOCAL, port))
    return bound


def address(bound: socket.socket, certificate: str = "") -> str:
    return f"{'https' if certificate else 'http'}://{LOCAL}:{bound.getsockname()[1]}"


def wrapped(app: Starlette, record: Record, faults: Faults, told: Callable[[Fault], Response] | None = None) -> ASGIApp:
    """The application with its control routes, faults before it, and the recorder around all."""
    app.router.routes[:0] = [*record_routes(record), *fault_routes(faults)]
    return Recorder(FaultInjector(with_unknown_routes(app), faults, told), record)


def serve(app: ASGIApp, certificate: str, main: socket.socket, plain: socket.socket | None = None) -> None:
    """Serve until standard input ends; then let the application's lifespan end too."""
    servers = [(uvicorn.Server(_config(app, certificate, "on")), main)]
    addresses = [address(main, certificate)]
    if plain:
        servers.append((uvicorn.Server(_config(app, "", "off")), plain))
        addresses.append(address(plain))
    asyncio.run(_serve(servers, lambda: print(*addresses, flush=True)))


def _config(app: ASGIApp, certificate: str, lifespan: str) -> uvicorn.Config:
    files = {"ssl_certfile": certificate, "ssl_keyfile": certificate} if certificate else {}
    # One event loop and parser everywhere: the recorder cuts connections through their transport.
    options = {"http": "h11", "loop": "asyncio", "proxy_headers": False, "log_level": "warning", "lifespan": lifespan}
    return uvicorn.Config(app, timeout_graceful_shutdown=1, **options, **files)  # type: ignore[arg-type]


async def _serve(servers: list[tuple[uvicorn.Server, socket.socket]], ready: Callable[[], None]) -> None:
    tasks = [asyncio.create_task(server.serve(sockets=[bound])) for server, bound in servers]
    while not all(server.started for server, _ in servers):
        if any(task.done() for task in tasks):
            break
        await asyncio.sleep(0.01)
    else:
        ready()
    ended = asyncio.create_task(asyncio.to_thread(sys.stdin.read)) if not sys.stdin.isatty() else None
    await asyncio.wait([*tasks, *([ended] if ended else [])], return_when=asyncio.FIRST_COMPLETED)
    for server, _ in servers:
        server.should_exit = True
    await asyncio.gather(*tasks)
    os._exit(0)  # the thread that waits for standard input cannot be ended
