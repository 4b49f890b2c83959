"""The headers of the scoring contract: request ids, echoed as azmlinfsrv does, the clock and the probe's mark."""

import uuid

import msgspec
from starlette.types import ASGIApp, Message, Receive, Scope, Send

CLOCK_HEADER = "x-ml-platform-time"
"""RFC 3339: the time of the request in a replay; refused unless the endpoint declares `replay_clock`."""
PROBE_HEADER = "x-ml-platform-probe"
"""With any value: score, but keep the request out of the inference log."""
ECHOED = (b"x-request-id", b"x-ms-client-request-id")
MAX_LENGTH = 100


class RequestIds:
    """ASGI middleware around the whole application, so that failures carry the ids too.

    Puts the id into the scope as `request_id`; answers 431 to an id of more than 100 characters.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The ASGI interface."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = {name: value for name, value in scope["headers"] if name in ECHOED and value}
        if too_long := [name.decode() for name, value in given.items() if len(value) > MAX_LENGTH]:
            await _refuse(send, f"{too_long[0]} is longer than {MAX_LENGTH} characters")
            return
        given.setdefault(b"x-request-id", str(uuid.uuid4()).encode())
        scope["request_id"] = given[b"x-request-id"].decode("latin-1")

        async def send_with_ids(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *given.items()]
            await send(message)

        await self._app(scope, receive, send_with_ids)


async def _refuse(send: Send, text: str) -> None:
    body = msgspec.json.encode({"message": text})
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 431, "headers": headers})
    await send({"type": "http.response.body", "body": body})
