"""The HTTP face of an endpoint: scoring, health and its OpenAPI document, in the manner of azmlinfsrv."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Annotated

import msgspec
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from ml_platform.scoring.headers import CLOCK_HEADER, PROBE_HEADER, RequestIds
from ml_platform.scoring.host import Host
from ml_platform.scoring.inference_log import Exchange
from ml_platform.scoring.serving import Serving

MAX_BODY_BYTES = 2 * 1024 * 1024


class ScoringApp:
    """The routes of one host."""

    def __init__(self, host: Host) -> None:
        self._host = host

    async def score(self, request: Request) -> Response:
        """POST /score."""
        if not self._host.keys.opens(request.headers.get("authorization", "")):
            raise HTTPException(401, "the key is missing or wrong", {"www-authenticate": "Bearer"})
        _require_json(request)
        serving = self._serving()
        time = _request_time(request, serving)
        records = serving.reader.read(await _read_body(request))
        probabilities = serving.score(records)
        for index, probability in enumerate(probabilities):
            if not 0 <= probability <= 1:
                raise HTTPException(422, f"record {index}: the model gives no probability for these values")
        correlation_id = request.scope["request_id"]
        if PROBE_HEADER not in request.headers:
            self._host.log.write(Exchange(serving, time, correlation_id, records, probabilities))
        return _answer(serving, correlation_id, probabilities)

    async def live(self, request: Request) -> Response:
        """GET / and /health/live."""
        return PlainTextResponse("Healthy")

    async def ready(self, request: Request) -> Response:
        """GET /health/ready: what is served, and how many rows the inference log has lost."""
        deployment = self._serving().declared.endpoint.deployment
        return _json(
            {
                "deployment": deployment.name,
                "model": {"name": deployment.model_name, "version": deployment.model_version},
                "inference_log": {"dropped_rows": self._host.log.dropped_rows},
            }
        )

    async def openapi(self, request: Request) -> Response:
        """GET /swagger.json and /openapi.json."""
        return Response(self._serving().openapi, media_type="application/json")

    def _serving(self) -> Serving:
        if self._host.serving is None:
            raise HTTPException(503, self._host.reason)
        return self._host.serving


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

    app = ScoringApp(host)
    routes = [
        Route("/score", app.score, methods=["POST"]),
        Route("/", app.live),
        Route("/health/live", app.live),
        Route("/health/ready", app.ready),
        Route("/swagger.json", app.openapi),
        Route("/openapi.json", app.openapi),
    ]
    handlers = {HTTPException: _refuse, ClientDisconnect: _gone, 500: _fail}
    return RequestIds(Starlette(routes=routes, exception_handlers=handlers, lifespan=lifespan))


def _answer(serving: Serving, correlation_id: str, probabilities: list[float]) -> Response:
    output, deployment = serving.model.signature.output, serving.declared.endpoint.deployment
    predictions = [{"id": f"{correlation_id}_{index}", output: value} for index, value in enumerate(probabilities)]
    model = {"name": deployment.model_name, "version": deployment.model_version}
    return _json({"predictions": predictions, "model": model})


def _require_json(request: Request) -> None:
    content_type = request.headers.get("content-type", "")
    if content_type.partition(";")[0].strip().lower() != "application/json":
        raise HTTPException(415, f"the content type must be application/json, got {content_type!r}")


async def _read_body(request: Request) -> bytes:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY_BYTES:
            raise HTTPException(413, f"the body is larger than {MAX_BODY_BYTES} bytes; send smaller batches")
    return bytes(body)


def _request_time(request: Request, serving: Serving) -> datetime:
    given = request.headers.get(CLOCK_HEADER)
    if given is None:
        return datetime.now(UTC)
    if not serving.declared.endpoint.replay_clock:
        raise HTTPException(400, f"{CLOCK_HEADER} is for replays; this endpoint does not declare replay_clock")
    try:
        return msgspec.convert(given, Annotated[datetime, msgspec.Meta(tz=True)]).astimezone(UTC)
    except (msgspec.ValidationError, OverflowError) as error:
        raise HTTPException(400, f"{CLOCK_HEADER} must be like 2013-04-01T09:00:00Z, got {given!r}") from error


def _json(content: object, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(msgspec.json.encode(content), status, headers, "application/json")


async def _refuse(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return _json({"message": error.detail}, error.status_code, dict(error.headers or {}))


async def _gone(request: Request, error: Exception) -> Response:
    return _json({"message": "the caller went away before its request was complete"}, 400)


async def _fail(request: Request, error: Exception) -> Response:
    return _json({"message": "the host failed; its log says why"}, 500)
