"""Hosts and their application in this process, for the tests of the scoring contract."""

import asyncio
import json
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from starlette.testclient import TestClient
from starlette.types import ASGIApp, Message, Scope

from ml_platform.scoring.app import create_app
from ml_platform.scoring.bodies import WHOLE
from ml_platform.scoring.host import Host
from ml_platform.scoring.state import (
    DECLARED_FILE,
    KEYS_FILE,
    Declared,
    Deployment,
    EndpointDeclaration,
    Keys,
    write_state,
)


def declare(directory: Path, serving: Path, *, version: str = "1", replay_clock: bool = True, **more: Any) -> None:
    """Declare blue; with `green`, a serving directory, version 2 beside it, which mirrors all requests."""
    green = more.pop("green", None)
    deployments = [Deployment("blue", "flights", version, str(serving))]
    if green is not None:
        deployments.append(Deployment("green", "flights", "2", str(green)))
        more["mirror"] = {"green": 100}
    keys = (("flight_id",), "sched_dep_at")
    endpoint = EndpointDeclaration(
        "delays", tuple(deployments), {"blue": 100}, *keys, replay_clock=replay_clock, **more
    )
    write_state(directory / DECLARED_FILE, Declared(time.monotonic_ns(), endpoint, (directory / "log").as_uri()))


def host_of(directory: Path) -> Host:
    write_state(directory / KEYS_FILE, Keys("first-key", "second-key"))
    return Host(directory)


def client_of(directory: Path, host: Host | None = None) -> TestClient:
    headers = {"authorization": "Bearer first-key"}
    return TestClient(create_app(host or host_of(directory)), headers=headers, raise_server_exceptions=False)


def logged(directory: Path, collection: str) -> list[dict[str, Any]]:
    files = sorted((directory / "log").glob(f"delays/blue/{collection}/*/*/*/*/*.jsonl"))
    return [json.loads(line) for path in files for line in path.read_text().splitlines()]


class Caller:
    """One POST to /score whose body comes as the test says: `given` are the parts, the last one of which is missing."""

    def __init__(self, *given: bytes, whole: bool = False) -> None:
        self._parts: list[Message] = [{"type": "http.request", "body": part, "more_body": not whole} for part in given]
        self._goes_on = asyncio.Event()
        self._sent: list[Message] = []
        headers = [(b"authorization", b"Bearer first-key"), (b"content-type", b"application/json")]
        self._scope: Scope = {"type": "http", "method": "POST", "path": "/score", "headers": headers}
        if whole:
            self._scope[WHOLE] = True

    async def ask(self, app: ASGIApp) -> int:
        """The status of the answer."""
        await app(self._scope, self._receive, self._send)
        return self._sent[0]["status"]

    @property
    def headers(self) -> dict[bytes, bytes]:
        return dict(self._sent[0]["headers"])

    @property
    def message(self) -> str:
        return json.loads(self._sent[1]["body"])["message"]

    def go_away(self) -> None:
        self._goes_on.set()

    async def _receive(self) -> Message:
        if self._parts:
            return self._parts.pop(0)
        await self._goes_on.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Message) -> None:
        self._sent.append(message)


def in_process(endpoint: Path, test: Callable[[ASGIApp, Host], Coroutine[None, None, None]]) -> None:
    """Run `test` on the application of a host that has loaded its model."""

    async def run() -> None:
        host = host_of(endpoint)
        await host.converge()
        await test(create_app(host), host)
        host.log.close()

    asyncio.run(run())


def failing(_: object) -> list[float]:
    raise RuntimeError("the model fails")
