"""The HTTP face of an endpoint, in the manner of azmlinfsrv and of the managed front end before it."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable, Coroutine
from datetime import UTC, datetime
from typing import Annotated

import msgspec
from starlette.applications import Starlette
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from ml_platform.scoring.bodies import WHOLE, Bodies
from ml_platform.scoring.headers import (
    CLOCK_HEADER,
    DEPLOYMENT_HEADER,
    PROBE_HEADER,
    Headers,
    request_ids,
    sender_with,
)
from ml_platform.scoring.host import Host
from ml_platform.scoring.inference_log import Exchange
from ml_platform.scoring.mirror import Mirror
from ml_platform.scoring.others import FAILED, other_routes
from ml_platform.scoring.records import Record
from ml_platform.scoring.refusal import Refusal
from ml_platform.scoring.serving import NoProbability, Serving
from ml_platform.scoring.together import Scored, Together

SCORE = "/score"
_CLOCK, _PROBE, _DEPLOYMENT = CLOCK_HEADER.encode(), PROBE_HEADER.encode(), DEPLOYMENT_HEADER.encode()
_JSON = (b"content-type", b"application/json")

logger = logging.getLogger(__name__)


class ScoringApp:
    """POST /score without a framework, which takes longer for a request than the model; the rest by `others`.

    `paths` are those at which it answers.
    """

    def __init__(self, host: Host, others: Starlette) -> None:
        self._host, self._others = host, others
        self.paths = {SCORE, *(route.path for route in others.routes if isinstance(route, Route))}
        self._bodies, self._together, self._mirror = Bodies(), Together(), Mirror(host.measures)

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
                serving, answer = await self._score(scope, headers, ids[0][1], receive)
                ids.append(serving.header)
                await self._send(send, 200, answer, ids)
                return
        except Refusal as refusal:
            extra = [(name.encode(), value.encode()) for name, value in refusal.headers.items()]
            await self._send(send, refusal.status, msgspec.json.encode({"message": refusal.message}), [*ids, *extra])
            return
        except Exception:
            # The caller is told nothing of what went wrong; whoever runs the host finds it in its log.
            logger.exception("a request failed")
            await self._send(send, 500, FAILED, ids)
            return
        finally:
            # Those that came with it are counted before uvicorn takes note of its end.
            self._host.underway.discard(asyncio.current_task())
        await self._others(scope, receive, sender_with(send, ids))

    async def _send(self, send: Send, status: int, body: bytes, headers: Headers) -> None:
        self._host.measures.answered(status)
        start = [_JSON, (b"content-length", b"%d" % len(body)), *headers]
        await send({"type": "http.response.start", "status": status, "headers": start})
        await send({"type": "http.response.body", "body": body})

    async def _score(
        self, scope: Scope, headers: dict[bytes, bytes], request_id: bytes, receive: Receive
    ) -> tuple[Serving, bytes]:
        if scope["method"] != "POST":
            raise Refusal(405, f"{SCORE} takes POST, not {scope['method']}", {"allow": "POST"})
        if not self._host.keys.opens(headers.get(b"authorization", b"")):
            raise Refusal(401, "the key is missing or wrong", {"www-authenticate": "Bearer"})
        _require_json(headers)
        if len(self._host.underway) - self._bodies.coming > self._host.most_at_once:
            raise Refusal(429, "too many requests at once; come back later", {"retry-after": "1"})
        time = _request_time(headers, self._host.replay_clock)
        body = await self._bodies.read(receive, WHOLE in scope)
        pinned = headers.get(_DEPLOYMENT)
        serving = self._serving(pinned)
        records = serving.reader.read(body)
        if serving.online:
            records = await serving.online.complete(records, time, self._host.measures)
        probabilities, seconds = await self._scored(serving, records)
        correlation_id = request_id.decode("latin-1")
        answer = serving.answer(correlation_id, probabilities)
        if _PROBE not in headers:
            self._host.log.write(Exchange(serving, time, correlation_id, records, probabilities))
            self._host.measures.of("live", serving.counted_as).scored(seconds, probabilities)
            if pinned is None and (shadow := self._host.routes.shadow(serving)):
                self._mirror.score(shadow, body, time)
        return serving, answer

    def _serving(self, pinned: bytes | None) -> Serving:
        if not self._host.routes.ready:
            raise Refusal(503, self._host.reason)
        return self._host.routes.pick(pinned)

    async def _scored(self, serving: Serving, records: list[Record]) -> Scored:
        try:
            return await self._together.score(serving, records)
        except Exception as error:
            self._host.measures.of("live", serving.counted_as).failure()
            if isinstance(error, NoProbability):
                raise Refusal(422, str(error)) from error
            raise


def create_app(host: Host, also: Callable[[], Coroutine[None, None, None]] | None = None) -> ScoringApp:
    """The ASGI application of `host`; its lifespan loads the models, watches the declaration and drains the log.

    `also` runs beside the watching.
    """

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        await host.converge()
        beside = [asyncio.create_task(each()) for each in (host.watch, also) if each]
        try:
            yield
        finally:
            for task in beside:
                task.cancel()
            await asyncio.to_thread(host.log.close)
            host.tell()

    return ScoringApp(host, other_routes(host, lifespan))


def _require_json(headers: dict[bytes, bytes]) -> None:
    content_type = headers.get(b"content-type", b"")
    if content_type == b"application/json":
        return
    text = content_type.decode("latin-1")
    if text.partition(";")[0].strip().lower() != "application/json":
        raise Refusal(415, f"the content type must be application/json, got {text!r}")


def _request_time(headers: dict[bytes, bytes], replay_clock: bool) -> datetime:
    given = headers.get(_CLOCK)
    if given is None:
        return datetime.now(UTC)
    if not replay_clock:
        raise Refusal(400, f"{CLOCK_HEADER} is for replays; this endpoint does not declare replay_clock")
    text = given.decode("latin-1")
    try:
        return msgspec.convert(text, Annotated[datetime, msgspec.Meta(tz=True)]).astimezone(UTC)
    except (msgspec.ValidationError, OverflowError) as error:
        raise Refusal(400, f"{CLOCK_HEADER} must be like 2013-04-01T09:00:00Z, got {text!r}") from error
