"""uvicorn's HTTP protocol, which sends the head and the body of an answer together."""

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from ml_platform.scoring.bodies import WHOLE

MAX_HEAD_BYTES = 64 * 1024
"""Of the line and the headers of a request, beside what comes at once."""
TOO_LARGE = b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"


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
    """One connection. Its requests' scopes say with WHOLE whether the body has come with the headers."""

    _more_head = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Called by the event loop."""
        super().connection_made(_Together(transport, self.loop))  # type: ignore[arg-type]

    def data_received(self, data: bytes) -> None:
        """Called by the event loop; the parser keeps all of a head that has not ended, so it is bounded here."""
        before = self._in_head()
        super().data_received(data)
        self._more_head = self._more_head + len(data) if before and self._in_head() else 0
        if self._more_head > MAX_HEAD_BYTES:
            self.transport.write(TOO_LARGE)
            self.transport.close()

    def on_message_complete(self) -> None:
        """Called by the parser; the request begins to be answered after all of `data_received`."""
        super().on_message_complete()
        self.scope[WHOLE] = True  # type: ignore[typeddict-unknown-key]

    def _in_head(self) -> bool:
        # uvicorn makes the scope at the first byte of a request and completes it at the end of the headers.
        return self.scope is not None and "method" not in self.scope
