"""Records what an emulator was asked: calls as (method, path template, API version), violations and unknown routes."""

import re
from dataclasses import asdict, dataclass, field
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Match, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

CONTROL = "/_emulator/"


@dataclass(frozen=True)
class Call:
    """One request: never its headers or body, which may hold secrets."""

    method: str
    template: str
    api_version: str
    status: int
    path: str


@dataclass
class Record:
    """What happened since the start or the last clearing."""

    calls: list[Call] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)
    unknown_routes: list[str] = field(default_factory=list)

    def violate(self, where: str, *problems: str) -> None:
        self.violations += [f"{where}: {problem}" for problem in problems]

    def clear(self) -> None:
        for each in (self.calls, self.violations, self.unknown_routes):
            each.clear()


class KnownRoute(Route):
    """A route that tells the recorder its template: the path, cut behind the last `providers/NAMESPACE`."""

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        match, child = super().matches(scope)
        return match, {**child, "template": re.sub(r".*/providers/Microsoft\.[^/]+", "", self.path)}


class Recorder:
    """ASGI middleware: writes each call into the record, and each that no route answers."""

    def __init__(self, app: ASGIApp, record: Record) -> None:
        self.app, self.record = app, record

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"].startswith(CONTROL):
            return await self.app(scope, receive, send)
        seen: dict[str, int] = {"status": 0}  # 0: the connection was dropped
        scope["cut"] = lambda: send.__self__.transport.abort()  # type: ignore[attr-defined]

        async def noting(message: Message) -> None:
            if message["type"] == "http.response.start":
                seen["status"] = message["status"]
            await send(message)

        try:
            return await self.app(scope, receive, noting)
        except Exception as error:
            self.record.violate(f"{scope['method']} {scope['path']}", f"the emulator itself failed: {error!r}")
            raise
        finally:
            self._note(scope, seen["status"])

    def _note(self, scope: Scope, status: int) -> None:
        request = Request(scope)
        version = request.query_params.get("api-version", "")
        template = scope.get("template", "")
        if scope.get("unknown"):
            self.record.unknown_routes.append(f"{request.method} {request.url.path} {version}".strip())
        self.record.calls.append(Call(request.method, template, version, status, request.url.path))


async def _unknown(request: Request) -> Response:
    request.scope["unknown"] = True
    error = {"code": "NotFound", "message": f"The emulator knows no {request.method} {request.url.path}."}
    return JSONResponse({"error": error}, 404)


def record_routes(record: Record) -> list[Route]:
    """GET and DELETE `/_emulator/record`."""

    async def read(_: Request) -> Response:
        return JSONResponse(asdict(record))

    async def clear(_: Request) -> Response:
        record.clear()
        return JSONResponse({})

    async def pardon(request: Request) -> Response:
        pattern = (await request.json())["pattern"]
        pardoned = [each for each in record.violations if re.search(pattern, each)]
        record.violations[:] = [each for each in record.violations if each not in pardoned]
        return JSONResponse(pardoned)

    path = f"{CONTROL}record"
    return [
        Route(path, read),
        Route(path, clear, methods=["DELETE"]),
        Route(f"{path}/pardon", pardon, methods=["POST"]),
    ]


def with_unknown_routes(app: Starlette) -> Starlette:
    """Answer 404 in the services' shape where no route matches, or its method does not, and tell the recorder."""
    methods = ["GET", "PUT", "POST", "PATCH", "DELETE", "HEAD", "OPTIONS"]
    app.router.routes.append(Route("/{path:path}", _unknown, methods=methods))
    return app


def template_calls(record: dict[str, Any]) -> list[str]:
    """The golden form of the calls: "METHOD template api-version", in order, polls of the same thing told once."""
    lines = [f"{c['method']} {c['template'] or c['path']} {c['api_version']}".strip() for c in record["calls"]]
    return [line for n, line in enumerate(lines) if n == 0 or line != lines[n - 1]]
