"""A front of Azurite that can fail, with the identities whose tokens it takes: `python -m ...emulators.storage URL`.

Every call but those for tokens goes on to Azurite unchanged: its signature does not cover the host.
"""

import os
import ssl
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from ml_platform_tests.emulators.faults import Faults
from ml_platform_tests.emulators.identity import identity_routes
from ml_platform_tests.emulators.listening import Listening, serve, socket_at, wrapped
from ml_platform_tests.emulators.recording import KnownRoute, Record

AUTHORITY = "EMULATOR_CA"
METHODS = ["GET", "HEAD", "PUT", "POST", "DELETE", "PATCH", "OPTIONS"]
PER_CONNECTION = {b"connection", b"keep-alive", b"transfer-encoding", b"date", b"server"}


def build(azurite: str, told: Listening) -> Starlette:
    """`azurite`: https://127.0.0.1:PORT."""
    trust = ssl.create_default_context(cafile=os.environ[AUTHORITY])
    client = httpx.AsyncClient(verify=trust, timeout=60, trust_env=False, base_url=azurite)

    async def forward(request: Request) -> Response:
        path = request.scope["raw_path"] + (b"?" + request.scope["query_string"] if request.url.query else b"")
        target = client.base_url.copy_with(raw_path=path)
        # Read to its end: an answer that its caller leaves half read would keep its connection to Azurite.
        content = await request.body()
        async with client.stream(request.method, target, headers=request.headers.raw, content=content) as answer:
            response = Response(b"".join([part async for part in answer.aiter_raw()]), answer.status_code)
        response.raw_headers = [(n.lower(), v) for n, v in answer.headers.raw if n.lower() not in PER_CONNECTION]
        return response

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        async with client:
            yield

    routes: list[Route] = [*identity_routes(told.identity), KnownRoute("/{path:path}", forward, methods=METHODS)]
    return Starlette(routes=routes, lifespan=lifespan)


def main() -> None:
    """Listen until standard input ends."""
    told, secure, plain = Listening.read(), socket_at(), socket_at()
    app = wrapped(build(sys.argv[1], told), Record(), Faults())
    serve(app, told.certificate, secure, plain)


if __name__ == "__main__":
    main()
