"""uvicorn's HTTP protocol, which sends the head and the body of an answer together, some without a task."""

import asyncio
from collections.abc import Callable
from typing import Any

import msgspec
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

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


class Whole(msgspec.Struct):
    """A request that has come whole: method and target as in its first line, the names of headers in lower case."""

    method: bytes
    target: bytes
    headers: Headers
    body: bytes


Reply = Callable[[Answer], None]
AnswerWhole = Callable[[Whole, Reply], bool]


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


class _Event:
    """Stands for the event of a cycle for which nobody waits."""

    def set(self) -> None:
        """See asyncio.Event.set."""


class _Exchange:
    """Stands for uvicorn's cycle of a request that is answered without a task."""

    message_event = _Event()

    def __init__(self, protocol: "Protocol") -> None:
        self._protocol = protocol
        self.response_complete = self.disconnected = False
        self.keep_alive = True

    def reply(self, answer: Answer) -> None:
        """See Reply."""
        if not self.disconnected:
            self.response_complete = True
            self._protocol.send(answer, self.keep_alive)


class Protocol(HttpToolsProtocol):
    """One connection. The scopes of its requests say with WHOLE whether the body has come with the headers.

    An application may have `answer_whole(whole, reply)`. A request that has come whole is asked of that first: it is
    true where it will `reply`, once and from the event loop, and false where the request is to be asked as usual. Of
    what uvicorn makes for a request, nothing is made before that.
    """

    parser: Any
    """None once the connection is lost, when nothing asks it any more."""
    _more_head = 0
    _in_head = False
    _kept = False
    """Whether uvicorn has yet to hear of the request whose headers have come."""
    _arrived = False
    """Whether all of its body has come too, in `_body`."""
    _idle_since = 0.0
    _idle_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Called by the event loop."""
        super().connection_made(_Together(transport, self.loop))  # type: ignore[arg-type]
        self._answer_whole: AnswerWhole | None = getattr(self.app, "answer_whole", None)
        self._body: list[bytes] = []

    def connection_lost(self, exc: Exception | None) -> None:
        """Called by the event loop."""
        if self._idle_timer:
            self._idle_timer.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Called by the event loop; the parser keeps all of a head that has not ended, so it is bounded here."""
        before = self._in_head
        super().data_received(data)
        self._more_head = self._more_head + len(data) if before and self._in_head else 0
        if self._more_head > MAX_HEAD_BYTES:
            self.transport.write(TOO_LARGE)
            self.transport.close()
        if self._kept and not self.transport.is_closing() and not self._answered():
            self._hand_over()

    def on_message_begin(self) -> None:
        """Called by the parser."""
        if self._kept:
            # Another has come with it: they are answered in their order.
            self._hand_over()
        self._in_head = True
        self.url, self.headers, self.expect_100_continue = b"", [], False

    def on_headers_complete(self) -> None:
        """Called by the parser; a request that may be answered without a task is kept until its body is there."""
        self._in_head = False
        self._kept = (
            self._answer_whole is not None
            and (self.cycle is None or self.cycle.response_complete)
            and not self.expect_100_continue
            and not self.parser.should_upgrade()
            and self.parser.should_keep_alive()
            and self.parser.get_http_version() == "1.1"
        )
        self._body, self._arrived = [], False
        if not self._kept:
            self._begin()

    def on_body(self, body: bytes) -> None:
        """Called by the parser."""
        if self._kept:
            self._body.append(body)
        else:
            super().on_body(body)

    def on_message_complete(self) -> None:
        """Called by the parser."""
        if self._kept:
            self._arrived = True
        else:
            self._complete()

    def send(self, answer: Answer, keep_alive: bool) -> None:
        """Send the answer to a request that uvicorn has not heard of."""
        headers = [*self.server_state.default_headers, *answer.headers]
        if not keep_alive:
            headers.append((b"connection", b"close"))
        lines = b"\r\n".join(map(b": ".join, headers))
        self.transport.write(b"".join([STATUS_LINE[answer.status], lines, b"\r\n\r\n", answer.body]))
        if not keep_alive:
            self.transport.close()
        if self.pipeline or not keep_alive:
            self.on_response_complete()
        else:
            self.server_state.total_requests += 1
            self._idle_since = self.loop.time()
            if self._idle_timer is None:
                self._close_later(self.timeout_keep_alive)

    def _answered(self) -> bool:
        """Whether the application answers the kept request without a task."""
        if self._answer_whole is None or not self._arrived or self.flow.write_paused:
            return False
        whole = Whole(self.parser.get_method(), self.url, self.headers, b"".join(self._body))
        before, exchange = self.cycle, _Exchange(self)
        self._kept, self.cycle = False, exchange  # type: ignore[assignment]
        if self._answer_whole(whole, exchange.reply):
            return True
        self._kept, self.cycle = True, before
        return False

    def _hand_over(self) -> None:
        """Tell uvicorn of the kept request."""
        self._kept = False
        self._begin()
        for body in self._body:
            super().on_body(body)
        if self._arrived:
            self._complete()

    def _begin(self) -> None:
        url, headers, expects = self.url, self.headers, self.expect_100_continue
        super().on_message_begin()
        self.url, self.expect_100_continue = url, expects
        self.scope["headers"] = self.headers = headers
        super().on_headers_complete()

    def _complete(self) -> None:
        super().on_message_complete()
        self.scope[WHOLE] = True  # type: ignore[typeddict-unknown-key]

    def _close_later(self, seconds: float) -> None:
        self._idle_timer = self.loop.call_later(seconds, self._close_when_idle)

    def _close_when_idle(self) -> None:
        """Close a connection that has not been used; one timer serves many requests, which come sooner than it ends."""
        self._idle_timer = None
        if self._in_head or not self.cycle.response_complete or self.timeout_keep_alive_task:
            return
        left = self._idle_since + self.timeout_keep_alive - self.loop.time()
        if left > 0:
            self._close_later(left)
        else:
            self.transport.close()
