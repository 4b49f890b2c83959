"""The HTTP face of an endpoint: scoring, health and its OpenAPI document, in the manner of azmlinfsrv."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Annotated, TypeVar

import msgspec
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from ml_platform.scoring.headers import CLOCK_HEADER, PROBE_HEADER, Headers, request_ids, sender_with
from ml_platform.scoring.host import Host
from ml_platform.scoring.inference_log import Exchange
from ml_platform.scoring.refusal import Refusal
from ml_platform.scoring.serving import Serving

SCORE = "/score"
MAX_BODY_BYTES = 2 * 1024 * 1024
BODY_SECONDS = 10.0
"""For the rest of a body that does not come with its headers."""
_CLOCK, _PROBE = CLOCK_HEADER.encode(), PROBE_HEADER.encode()
_JSON = (b"content-type", b"application/json")
_FAILED = b'{"message":"the host failed; its log says why"}'

Body = TypeVar("Body", bytes, bytearray)

logger = logging.getLogger(__name__)


class ScoringApp:
    """POST /score without a framework, which takes longer for a request than the model; the rest by `others`."""

    def __init__(self, host: Host, others: ASGIApp) -> None:
        self._host, self._others = host, others

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The ASGI interface: every answer carries the request's ids, failures too."""
        if scope["type"] != "http":
            await self._others(scope, receive, send)
            return
        headers: dict[bytes, bytes] = dict(scope["headers"])
        ids: Headers = []
        try:
            ids = request_ids(headers)
            if scope["path"] == SCORE:
                answer = await self._score(scope["method"], headers, ids[0][1], receive)
                await _send(send, 200, answer, ids)
                return
        except Refusal as refusal:
            extra = [(name.encode(), value.encode()) for name, value in refusal.headers.items()]
            await _send(send, refusal.status, msgspec.json.encode({"message": refusal.message}), [*ids, *extra])
            return
        except Exception:
            # The caller is told nothing of what went wrong; whoever runs the host finds it in its log.
            logger.exception("a request failed")
            await _send(send, 500, _FAILED, ids)
            return
        await self._others(scope, receive, sender_with(send, ids))

    async def _score(self, method: str, headers: dict[bytes, bytes], request_id: bytes, receive: Receive) -> bytes:
        if method != "POST":
            raise Refusal(405, f"{SCORE} takes POST, not {method}", {"allow": "POST"})
        if not self._host.keys.opens(headers.get(b"authorization", b"")):
            raise Refusal(401, "the key is missing or wrong", {"www-authenticate": "Bearer"})
        _require_json(headers)
        serving = _serving(self._host)
        time = _request_time(headers, serving)
        records = serving.reader.read(await _read_body(receive))
        probabilities = serving.score(records)
        for index, probability in enumerate(probabilities):
            if not 0 <= probability <= 1:
                raise Refusal(422, f"record {index}: the model gives no probability for these values")
        correlation_id = request_id.decode("latin-1")
        if _PROBE not in headers:
            self._host.log.write(Exchange(serving, time, correlation_id, records, probabilities))
        return _answer(serving, correlation_id, probabilities)


class Routes:
    """What else a host answers."""

    def __init__(self, host: Host) -> None:
        self._host = host

    async def live(self, request: Request) -> Response:
        """GET / and /health/live."""
        return PlainTextResponse("Healthy")

    async def ready(self, request: Request) -> Response:
        """GET /health/ready: what is served, and how many rows the inference log has lost."""
        deployment = _serving(self._host).declared.endpoint.deployment
        return _json(
            {
                "deployment": deployment.name,
                "model": {"name": deployment.model_name, "version": deployment.model_version},
                "inference_log": {"dropped_rows": self._host.log.dropped_rows},
            }
        )

    async def openapi(self, request: Request) -> Response:
        """GET /swagger.json and /openapi.json."""
        return Response(_serving(self._host).openapi, media_type="application/json")


def create_app(host: Host) -> ASGIApp:
    """The ASGI application of `host`; its lifespan loads the model, watches the declaration and drains the log."""

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        await host.start()
        watcher = asyncio.create_task(host.watch())
        try:
            yield
        finally:
            watcher.cancel()
            await asyncio.to_thread(host.log.close)

    others = Routes(host)
    routes = [
        Route("/", others.live),
        Route("/health/live", others.live),
        Route("/health/ready", others.ready),
        Route("/swagger.json", others.openapi),
        Route("/openapi.json", others.openapi),
    ]
    handlers = {HTTPException: _refuse, Refusal: _refuse, 500: _fail}
    return ScoringApp(host, Starlette(routes=routes, exception_handlers=handlers, lifespan=lifespan))


async def _send(send: Send, status: int, body: bytes, headers: Headers) -> None:
    start = [_JSON, (b"content-length", b"%d" % len(body)), *headers]
    await send({"type": "http.response.start", "status": status, "headers": start})
    await send({"type": "http.response.body", "body": body})


def _serving(host: Host) -> Serving:
    if host.serving is None:
        raise Refusal(503, host.reason)
    return host.serving


def _answer(serving: Serving, correlation_id: str, probabilities: list[float]) -> bytes:
    output, deployment = serving.model.signature.output, serving.declared.endpoint.deployment
    predictions = [{"id": f"{correlation_id}_{index}", output: value} for index, value in enumerate(probabilities)]
    model = {"name": deployment.model_name, "version": deployment.model_version}
    return msgspec.json.encode({"predictions": predictions, "model": model})


def _require_json(headers: dict[bytes, bytes]) -> None:
    content_type = headers.get(b"content-type", b"").decode("latin-1")
    if content_type.partition(";")[0].strip().lower() != "application/json":
        raise Refusal(415, f"the content type must be application/json, got {content_type!r}")


async def _read_body(receive: Receive) -> bytes:
    message = await receive()
    if message["type"] == "http.request" and not message.get("more_body"):
        return _bounded(message.get("body", b""))
    try:
        async with asyncio.timeout(BODY_SECONDS):
            body = bytearray()
            while message["type"] == "http.request":
                body += message.get("body", b"")
                _bounded(body)
                if not message.get("more_body"):
                    return bytes(body)
                message = await receive()
    except TimeoutError as error:
        raise Refusal(408, f"the body did not come within {BODY_SECONDS:.0f} s", {"connection": "close"}) from error
    raise Refusal(400, "the caller went away before its request was complete")


def _bounded(body: Body) -> Body:
    if len(body) > MAX_BODY_BYTES:
        raise Refusal(413, f"the body is larger than {MAX_BODY_BYTES} bytes; send smaller batches")
    return body


def _request_time(headers: dict[bytes, bytes], serving: Serving) -> datetime:
    given = headers.get(_CLOCK)
    if given is None:
        return datetime.now(UTC)
    if not serving.declared.endpoint.replay_clock:
        raise Refusal(400, f"{CLOCK_HEADER} is for replays; this endpoint does not declare replay_clock")
    text = given.decode("latin-1")
    try:
        return msgspec.convert(text, Annotated[datetime, msgspec.Meta(tz=True)]).astimezone(UTC)
    except (msgspec.ValidationError, OverflowError) as error:
        raise Refusal(400, f"{CLOCK_HEADER} must be like 2013-04-01T09:00:00Z, got {text!r}") from error


def _json(content: object, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(msgspec.json.encode(content), status, headers, "application/json")


async def _refuse(request: Request, error: Exception) -> Response:
    if isinstance(error, Refusal):
        return _json({"message": error.message}, error.status, error.headers)
    assert isinstance(error, HTTPException)
    return _json({"message": error.detail}, error.status_code, dict(error.headers or {}))


async def _fail(request: Request, error: Exception) -> Response:
    return Response(_FAILED, 500, media_type="application/json")
