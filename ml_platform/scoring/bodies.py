"""Reads the bodies of requests, bounded in size, in time and in how many come slowly at once."""

import asyncio
from typing import TypeVar

from starlette.types import Message, Receive

from ml_platform.scoring.refusal import Refusal

MAX_BODY_BYTES = 2 * 1024 * 1024
BODY_SECONDS = 10.0
"""For a body that does not come with its headers."""
MAX_SLOW_BODIES = 256
"""Bodies of which a part has come, at the same time: each may hold MAX_BODY_BYTES."""
WHOLE = "ml_platform.whole"
"""In the scope of a request whose body has come with its headers."""

Bytes = TypeVar("Bytes", bytes, bytearray)


class Bodies:
    """Reads bodies; `coming` is the number of requests that wait for theirs."""

    def __init__(self) -> None:
        self.coming = 0
        self._parts = 0

    async def read(self, receive: Receive, whole: bool) -> bytes:
        """The body of a request, which is there already when `whole`; raises Refusal 400, 408, 413 or 429."""
        if whole:
            # Nothing is waited for, and a timer takes a tenth of the time of a request.
            return await self._body(receive)
        self.coming += 1
        try:
            async with asyncio.timeout(BODY_SECONDS):
                return await self._body(receive)
        except TimeoutError as error:
            raise Refusal(408, f"the body did not come within {BODY_SECONDS:.0f} s", {"connection": "close"}) from error
        finally:
            self.coming -= 1

    async def _body(self, receive: Receive) -> bytes:
        message = await receive()
        if message["type"] == "http.request" and not message.get("more_body"):
            return _bounded(message.get("body", b""))
        if self._parts >= MAX_SLOW_BODIES:
            raise Refusal(429, "too many bodies are on their way; come back later", {"retry-after": "1"})
        self._parts += 1
        try:
            return await _rest(message, receive)
        finally:
            self._parts -= 1


async def _rest(message: Message, receive: Receive) -> bytes:
    body = bytearray()
    while message["type"] == "http.request":
        body += message.get("body", b"")
        _bounded(body)
        if not message.get("more_body"):
            return bytes(body)
        message = await receive()
    raise Refusal(400, "the caller went away before its request was complete")


def _bounded(body: Bytes) -> Bytes:
    if len(body) > MAX_BODY_BYTES:
        raise Refusal(413, f"the body is larger than {MAX_BODY_BYTES} bytes; send smaller batches")
    return body
