"""The HTTP face of an endpoint, in the manner of azmlinfsrv and of the managed front end before it."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable, Coroutine
from datetime import UTC, datetime
from functools import partial
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
from ml_platform.scoring.protocol import Answer, Reply, Whole
from ml_platform.scoring.records import Record
from ml_platform.scoring.refusal import Refusal
from ml_platform.scoring.serving import NoProbability, Serving
from ml_platform.scoring.together import Outcome, Together

SCORE = "/score"
_SCORE = SCORE.encode()
_CLOCK, _PROBE, _DEPLOYMENT = CLOCK_HEADER.encode(), PROBE_HEADER.encode(), DEPLOYMENT_HEADER.encode()
_JSON = (b"content-type", b"application/json")

logger = logging.getLogger(__name__)


class _Asked(msgspec.Struct):
    """A request that may be scored."""

    serving: Serving
    records: list[Record]
    time: datetime
    ids: Headers
    body: bytes
    pinned: bool
    probe: bool


class ScoringApp:
    """POST /score without a framework, which takes longer for a request than the model; the rest by `others`.

    `paths` are those at which it answers.
    """

    def __init__(self, host: Host, others: Starlette) -> None:
        self._host, self._others = host, others
        self.paths = {SCORE, *(route.path for route in others.routes if isinstance(route, Route))}
        self._bodies, self._together, self._mirror = Bodies(), Together(), Mirror(host.measures)
        # Requests that are not answered yet, of which those that wait for their bodies are nobody's work.
        self._at_once = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The ASGI interface: every answer carries the request's ids, failures too."""
        if scope["type"] != "http":
            await self._others(scope, receive, send)
            return
        headers: dict[bytes, bytes] = dict(scope["headers"])
        try:
            ids = request_ids(headers)
        except Refusal as error:
            await self._send(send, _failed(error, []))
            return
        if scope["path"] != SCORE:
            await self._others(scope, receive, sender_with(send, ids))
            return
        self._at_once += 1
        try:
            answer = await self._score(scope, headers, ids, receive)
        except Exception as error:
            answer = _failed(error, ids)
        try:
            await self._send(send, answer)
        finally:
            self._at_once -= 1

    def answer_whole(self, whole: Whole, reply: Reply) -> bool:
        """Have a request whose body is there answered by `reply` without a task, which takes as long as the model.

        False where it must wait for something else than the model: the ASGI interface answers it then.
        """
        if whole.target != _SCORE or whole.method != b"POST" or self._host.online:
            return False
        headers = dict(whole.headers)
        ids: Headers = []
        self._at_once += 1
        try:
            ids = request_ids(headers)
            asked = self._asked(headers, ids, self._admit(headers), whole.body)
        except Exception as error:
            self._reply(reply, _failed(error, ids))
        else:
            self._together.soon(asked.serving, asked.records, partial(self._reply_scored, reply, asked))
        return True

    def _reply_scored(self, reply: Reply, asked: _Asked, outcome: Outcome) -> None:
        try:
            answer = self._answer(asked, outcome)
        except Exception as error:
            answer = _failed(error, asked.ids)
        self._reply(reply, answer)

    def _reply(self, reply: Reply, answer: Answer) -> None:
        self._at_once -= 1
        self._host.measures.answered(answer.status)
        reply(answer)

    async def _send(self, send: Send, answer: Answer) -> None:
        self._host.measures.answered(answer.status)
        await send({"type": "http.response.start", "status": answer.status, "headers": answer.headers})
        await send({"type": "http.response.body", "body": answer.body})

    async def _score(self, scope: Scope, headers: dict[bytes, bytes], ids: Headers, receive: Receive) -> Answer:
        if scope["method"] != "POST":
            raise Refusal(405, f"{SCORE} takes POST, not {scope['method']}", {"allow": "POST"})
        time = self._admit(headers)
        asked = self._asked(headers, ids, time, await self._bodies.read(receive, WHOLE in scope))
        if online := asked.serving.online:
            asked.records = await online.complete(asked.records, time, self._host.measures)
        return self._answer(asked, await self._together.score(asked.serving, asked.records))

    def _admit(self, headers: dict[bytes, bytes]) -> datetime:
        """The time of a request that may be answered, by what is known before its body."""
        if not self._host.keys.opens(headers.get(b"authorization", b"")):
            raise Refusal(401, "the key is missing or wrong", {"www-authenticate": "Bearer"})
        _require_json(headers)
        if self._at_once - self._bodies.coming > self._host.most_at_once:
            raise Refusal(429, "too many requests at once; come back later", {"retry-after": "1"})
        return _request_time(headers, self._host.replay_clock)

    def _asked(self, headers: dict[bytes, bytes], ids: Headers, time: datetime, body: bytes) -> _Asked:
        routes = self._host.routes
        if not routes.ready:
            raise Refusal(503, self._host.reason)
        pinned = headers.get(_DEPLOYMENT)
        serving = routes.pick(pinned)
        return _Asked(serving, serving.reader.read(body), time, ids, body, pinned is not None, _PROBE in headers)

    def _answer(self, asked: _Asked, outcome: Outcome) -> Answer:
        serving, measures = asked.serving, self._host.measures
        # A mirrored request is as its caller sent it: unlike one that somebody pins to the shadow.
        role = "shadow" if self._host.shadow and not asked.pinned else "live"
        if isinstance(outcome, Exception):
            measures.of(role, serving.counted_as).failure()
            raise Refusal(422, str(outcome)) if isinstance(outcome, NoProbability) else outcome
        probabilities, correlation_id = outcome.probabilities, asked.ids[0][1].decode("latin-1")
        body = serving.answer(correlation_id, probabilities)
        if not asked.probe:
            if role == "live":
                self._host.log.write(Exchange(serving, asked.time, correlation_id, asked.records, probabilities))
            measures.of(role, serving.counted_as).scored(outcome.seconds, probabilities)
            if not asked.pinned and (shadow := self._host.routes.shadow(serving)):
                self._mirror.score(shadow, asked.body, asked.time)
        return _json(200, body, [*asked.ids, serving.header])


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


def _json(status: int, body: bytes, headers: Headers) -> Answer:
    return Answer(status, [_JSON, (b"content-length", b"%d" % len(body)), *headers], body)


def _failed(error: Exception, ids: Headers) -> Answer:
    if isinstance(error, Refusal):
        extra = [(name.encode(), value.encode()) for name, value in error.headers.items()]
        return _json(error.status, msgspec.json.encode({"message": error.message}), [*ids, *extra])
    # The caller is told nothing of what went wrong; whoever runs the host finds it in its log.
    logger.error("a request failed", exc_info=error)
    return _json(500, FAILED, ids)


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
