"""Switches faults on in an emulator, counted: "the next N calls that match a method and a path"."""

import asyncio
import base64
import re
from collections.abc import Callable
from dataclasses import asdict, dataclass, field

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from ml_platform_tests.emulators.recording import CONTROL

# What Entra ID asks for when a token was revoked or expired early (continuous access evaluation).
CLAIMS = base64.b64encode(b'{"access_token":{"nbf":{"essential":true,"value":"1"}}}').decode()
BODIES = {
    "throttle": (429, "TooManyRequests", "Too many requests, retry after {seconds} s."),
    "error": (500, "InternalServerError", "The service failed for a moment."),
    "unavailable": (503, "ServiceUnavailable", "The service is busy."),
    "expired": (401, "InvalidAuthenticationToken", "The access token has been revoked."),
    "forbidden": (403, "AuthorizationFailed", "The client has no authorization to perform this action."),
}

PASSING = ("throttle", "error", "unavailable", "expired", "drop", "drop_answer", "latency")
"""The kinds that are over when a call is made again."""


@dataclass
class Fault:
    """`kind`: a key of BODIES, "drop", "drop_answer" (the work is done, its answer lost) or "latency"."""

    kind: str
    method: str = ".*"
    path: str = ".*"
    count: int = 1
    seconds: float = 0.0

    def __post_init__(self) -> None:
        if self.kind not in {*BODIES, "drop", "drop_answer", "latency"}:
            raise ValueError(f"no such fault: {self.kind}")

    def matches(self, scope: Scope) -> bool:
        method, path = re.fullmatch(self.method, scope["method"]), re.search(self.path, scope["path"])
        return self.count > 0 and bool(method) and bool(path)


@dataclass
class Faults:
    """The faults that are on; each call takes from the first that matches."""

    active: list[Fault] = field(default_factory=list)

    def take(self, scope: Scope) -> Fault | None:
        for fault in self.active:
            if fault.matches(scope):
                fault.count -= 1
                return fault
        return None


class FaultInjector:
    """ASGI middleware: lets the faults happen; `told` makes the service's answer for one."""

    def __init__(self, app: ASGIApp, faults: Faults, told: "Callable[[Fault], Response] | None" = None) -> None:
        self.app, self.faults, self.told = app, faults, told or answer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        control = scope["type"] != "http" or scope["path"].startswith(CONTROL)
        fault = None if control else self.faults.take(scope)
        if fault and fault.kind in BODIES:
            await self.told(fault)(scope, receive, send)
        elif fault and fault.kind in ("drop", "drop_answer"):
            await self._drop(fault, scope, receive)
        else:
            await asyncio.sleep(fault.seconds if fault else 0)
            await self.app(scope, receive, send)

    async def _drop(self, fault: Fault, scope: Scope, receive: Receive) -> None:
        if fault.kind == "drop_answer":
            await self.app(scope, receive, _nowhere)
        scope["cut"]()  # put there by the recorder, which is next to uvicorn
        while (await receive())["type"] != "http.disconnect":
            pass


async def _nowhere(_: object) -> None:
    """Where an answer goes that is lost."""


def answer(fault: Fault) -> Response:
    """The service's answer for a fault."""
    status, code, message = BODIES[fault.kind]
    headers = {"Retry-After": f"{fault.seconds:.0f}"} if status in (429, 503) else {}
    if fault.kind == "expired":
        headers["WWW-Authenticate"] = f'Bearer error="insufficient_claims", claims="{CLAIMS}"'
    error = {"code": code, "message": message.format(seconds=fault.seconds), "error_code": code}
    return JSONResponse({"error": error, "error_code": code, "message": error["message"]}, status, headers)


def fault_routes(faults: Faults) -> list[Route]:
    """POST `/_emulator/faults` adds a list of faults, [] clears; GET reads what is left of them."""

    async def read(_: Request) -> Response:
        return JSONResponse([asdict(fault) for fault in faults.active])

    async def change(request: Request) -> Response:
        added = [Fault(**each) for each in await request.json()]
        faults.active = faults.active + added if added else []
        return await read(request)

    path = f"{CONTROL}faults"
    return [Route(path, read), Route(path, change, methods=["POST"])]
