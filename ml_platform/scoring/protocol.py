"""uvicorn's HTTP protocol, which sends the head and the body of an answer together, some without a task."""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any

import msgspec
from uvicorn._types import ASGI3Application
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from ml_platform.scoring.bodies import WHOLE
from ml_platform.scoring.headers import Headers

MAX_HEAD_BYTES = 64 * 1024
"""Of the line and the headers of a request, beside what comes at once."""
TOO_LARGE = b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"


class Answer(msgspec.Struct):
    """An answer with all its headers but those of the server."""

    status: int
    headers: Headers
    body: bytes


Reply = Callable[[Answer], None]


class _Together:
    """A transport that sends what is written in one turn of the event loop at once: each sending wakes the caller."""

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport, self._loop = transport, loop
        self._written: list[bytes] = []

    def write(self, data: bytes) -> None:
        if not self._written:
            self._loop.call_soon(self._flush)
        self._written.append(data)

    def close(self) -> None:
        self._flush()
        self._transport.close()

    def _flush(self) -> None:
        if self._written:
            written, self._written = self._written, []
            self._transport.write(b"".join(written))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


class Protocol(HttpToolsProtocol):
    """One connection. Its requests' scopes say with WHOLE whether the body has come with the headers.

    An application may have `answer_whole(scope, body, reply)`. A request that has come whole is asked of that first: it
    is true where it will `reply`, once and from the event loop, and false where the request is to be asked as usual.
    """

    _more_head = 0
    _parsing = False
    _begun: tuple[RequestResponseCycle, ASGI3Application] | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Called by the event loop."""
        super().connection_made(_Together(transport, self.loop))  # type: ignore[arg-type]
        self._answer_whole: Callable[[Any, bytes, Reply], bool] | None = getattr(self.app, "answer_whole", None)

    def data_received(self, data: bytes) -> None:
        """Called by the event loop; the parser keeps all of a head that has not ended, so it is bounded here."""
        before = self._in_head()
        self._parsing = True
        super().data_received(data)
        self._parsing = False
        self._more_head = self._more_head + len(data) if before and self._in_head() else 0
        if self._more_head > MAX_HEAD_BYTES:
            self.transport.write(TOO_LARGE)
            self.transport.close()
        if self._begun:
            (cycle, app), self._begun = self._begun, None
            if not self._answered(cycle):
                super()._start_asgi_task(cycle, app)

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        # uvicorn calls it at the end of the headers. At the end of what has come it is known whether that is all.
        if self._parsing:
            self._begun = cycle, app
        else:
            super()._start_asgi_task(cycle, app)

    def _answered(self, cycle: RequestResponseCycle) -> bool:
        if self._answer_whole is None or cycle.more_body or cycle.waiting_for_100_continue or self.flow.write_paused:
            return False
        return self._answer_whole(cycle.scope, bytes(cycle.body), partial(self._reply, cycle))

    def _reply(self, cycle: RequestResponseCycle, answer: Answer) -> None:
        if cycle.disconnected:
            return
        cycle.response_started = cycle.response_complete = True
        headers = [*cycle.default_headers, *answer.headers]
        if not cycle.keep_alive:
            headers.append((b"connection", b"close"))
        lines = b"\r\n".join(map(b": ".join, headers))
        self.transport.write(b"".join([STATUS_LINE[answer.status], lines, b"\r\n\r\n", answer.body]))
        if not cycle.keep_alive:
            self.transport.close()
        self.on_response_complete()

    def on_message_complete(self) -> None:
        """Called by the parser; the request begins to be answered after all of `data_received`."""
        super().on_message_complete()
        self.scope[WHOLE] = True  # type: ignore[typeddict-unknown-key]

    def _in_head(self) -> bool:
        # uvicorn makes the scope at the first byte of a request and completes it at the end of the headers.
        return self.scope is not None and "method" not in self.scope
