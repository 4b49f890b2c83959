"""The managed front end of online endpoints: keys, traffic, mirror, limits; it hands requests on to containers.

Behaves as https://learn.microsoft.com/azure/machine-learning/how-to-troubleshoot-online-endpoints says of statuses.
"""

import asyncio
import hmac
import json
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import uvicorn
from starlette.types import Receive, Scope, Send

from ml_platform.scoring.routing import turns
from ml_platform_tests.emulators.arm.hosted import Hosted, Instance
from ml_platform_tests.emulators.arm.state import Arm, Resource
from ml_platform_tests.emulators.listening import address, socket_at

ENDPOINTS, DEPLOYMENTS = "onlineEndpoints", "onlineEndpoints/deployments"
PINNED = b"azureml-model-deployment"
PASSED = (b"content-type", b"x-request-id", b"x-ms-client-request-id", PINNED)
OWN = b"x-ml-platform-"
"""Whatever a caller sends that is not the service's own reaches the container."""
BODY_BYTES = 3 * 2**20

Headers = list[tuple[bytes, bytes]]


@dataclass
class Answered:
    """What is sent to a caller."""

    status: int
    body: bytes
    headers: Headers = field(default_factory=list)


def refused(status: int, message: str, *headers: tuple[bytes, bytes]) -> Answered:
    body = json.dumps({"error": {"code": str(status), "message": message}}).encode()
    return Answered(status, body, [(b"content-type", b"application/json"), *headers])


@dataclass
class Shares:
    """Whose turn it is by an endpoint's traffic, and of its mirror."""

    of: tuple[dict[str, int], dict[str, int]]
    answering: Iterator[str]
    mirrored: Iterator[str | None]


@dataclass
class FrontEnd:
    """An ASGI application: POST /endpoints/{name}/score."""

    arm: Arm
    _shares: dict[str, Shares] = field(default_factory=dict)
    _underway: dict[str, int] = field(default_factory=dict)
    _mirroring: set["asyncio.Task[Any]"] = field(default_factory=set)
    _client: aiohttp.ClientSession | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        assert scope["type"] == "http"
        answer = await self._answer(scope, receive)
        headers = [*answer.headers, (b"content-length", str(len(answer.body)).encode())]
        await send({"type": "http.response.start", "status": answer.status, "headers": headers})
        await send({"type": "http.response.body", "body": answer.body})

    async def _answer(self, scope: Scope, receive: Receive) -> Answered:
        asked = re.fullmatch("/endpoints/([^/]+)/score", scope["path"])
        endpoint = self.arm.store.find(ENDPOINTS, (asked[1],)) if asked else None
        if endpoint is None:
            return refused(404, "There is no such endpoint.")
        name = endpoint.names[0]
        if scope["method"] != "POST":
            return refused(405, "Only POST is allowed.")
        headers = dict(scope["headers"])
        if not _opens(endpoint, headers.get(b"authorization", b"")):
            return refused(401, "The key is missing or wrong.", (b"www-authenticate", b"Bearer"))
        body = await _read(receive)
        if len(body) > BODY_BYTES:
            return refused(413, "The request is too large.")
        given = [(each, value) for each, value in scope["headers"] if each in PASSED or each.startswith(OWN)]
        if pinned := headers.get(PINNED, b"").decode():
            return await self._ask(name, pinned, body, given)
        shares = self._turns(endpoint)
        chosen = next(shares.answering, None)
        if chosen is None:
            return refused(404, "No deployment has traffic.")
        if mirrored := next(shares.mirrored, None):
            # Nothing marks it: the container sees what the caller has sent.
            task = asyncio.create_task(self._ask(name, mirrored, body, given))
            self._mirroring.add(task)
            task.add_done_callback(self._mirroring.discard)
        return await self._ask(name, chosen, body, given)

    def _turns(self, endpoint: Resource) -> Shares:
        now = (endpoint.properties["traffic"], endpoint.properties["mirrorTraffic"])
        found = self._shares.get(endpoint.names[0])
        if found is None or found.of != now:
            percent = sum(now[1].values())
            mirror: dict[str | None, int] = {**now[1], None: 100 - percent}
            found = self._shares[endpoint.names[0]] = Shares(now, turns(now[0]), turns(mirror))
        return found

    async def _ask(self, endpoint: str, deployment: str, body: bytes, headers: Headers) -> Answered:
        resource = self.arm.store.find(DEPLOYMENTS, (endpoint, deployment))
        hosted: Hosted | None = resource.hidden.get("hosted") if resource else None
        if hosted is None or hosted.settings is None:
            return refused(404, f"There is no deployment {deployment!r}.")
        key = f"{endpoint}/{deployment}".lower()
        if self._underway.get(key, 0) >= hosted.settings.most_at_once:
            return refused(429, "Too many requests at once.", (b"retry-after", b"1"))
        self._underway[key] = self._underway.get(key, 0) + 1
        try:
            return await self._hand_on(hosted, deployment, body, headers)
        finally:
            self._underway[key] -= 1

    async def _hand_on(self, hosted: Hosted, deployment: str, body: bytes, headers: Headers) -> Answered:
        assert hosted.settings
        tried: set[int] = set()
        while free := [each for each in hosted.answering if each.port not in tried]:
            instance = min(free, key=lambda each: each.underway)
            tried.add(instance.port)
            instance.underway += 1
            try:
                return await self._post(instance, hosted, deployment, body, headers)
            except TimeoutError:
                return refused(408, "The deployment did not answer in time.")
            except aiohttp.ClientConnectorError:
                # It has gone: nothing was asked of it.
                continue
            except aiohttp.ClientError as error:
                return refused(502, f"The connection to the container broke: {type(error).__name__}")
            finally:
                instance.underway -= 1
        return refused(503, "No instance of the deployment is ready.")

    async def _post(
        self, instance: Instance, hosted: Hosted, deployment: str, body: bytes, headers: Headers
    ) -> Answered:
        assert hosted.settings and self._client
        url = f"http://127.0.0.1:{instance.port}{hosted.settings.scoring}"
        sent = {name.decode(): value.decode("latin-1") for name, value in headers}
        within = aiohttp.ClientTimeout(total=hosted.settings.timeout)
        async with self._client.post(url, data=body, headers=sent, timeout=within) as answer:
            content = await answer.read()
            kept = ("content-type", "x-request-id", "x-ms-client-request-id")
            back = [(each.encode(), answer.headers[each].encode()) for each in kept if each in answer.headers]
            back.append((PINNED, deployment.encode()))
            if answer.status == 200:
                return Answered(200, content, back)
            status = str(answer.status).encode()
            why = [(b"ms-azureml-model-error-statuscode", status), (b"ms-azureml-model-error-reason", b"model_error")]
            return Answered(424, content, [*back, *why])

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[None]:
        """Listen on an address of its own, which the endpoints get."""
        bound = socket_at()
        self.arm.front_end = address(bound)
        config = uvicorn.Config(self, http="httptools", lifespan="off", log_level="warning", access_log=False)
        config.timeout_graceful_shutdown = 1
        server = uvicorn.Server(config)
        self._client = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))
        serving = asyncio.create_task(server.serve(sockets=[bound]))
        try:
            yield
        finally:
            server.should_exit = True
            await serving
            await asyncio.gather(*self._mirroring, return_exceptions=True)
            await self._client.close()


def _opens(endpoint: Resource, authorization: bytes) -> bool:
    scheme, _, key = authorization.partition(b" ")
    given = key.strip()
    keys = [each.encode() for each in endpoint.hidden["keys"].values()]
    return scheme.lower() == b"bearer" and any(hmac.compare_digest(given, each) for each in keys)


async def _read(receive: Receive) -> bytes:
    body, more = bytearray(), True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    return bytes(body)
