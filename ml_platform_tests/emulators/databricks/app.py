"""The workspace's routes, who may call them, and its errors."""

import base64
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute

from ml_platform_tests.emulators.databricks.compute import Compute
from ml_platform_tests.emulators.databricks.runs import Run
from ml_platform_tests.emulators.databricks.submission import Published
from ml_platform_tests.emulators.faults import BODIES, Fault
from ml_platform_tests.emulators.identity import Identity, Unauthorized
from ml_platform_tests.emulators.recording import KnownRoute, Record

SERVICE = "2ff814a6-3304-4ab8-85cb-cd0e6f879c1d"
"""The application ID of Azure Databricks, for which tokens are issued."""

Handler = Callable[[Request], Awaitable[Response]]


class Refused(Exception):
    """An answer of the service in its shape: status, error_code, message."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status, self.code = status, code


@dataclass
class Workspace:
    """The state of the emulator."""

    address: str
    client_id: str
    identity: Identity
    record: Record
    published: Published
    compute: Compute
    runs: dict[int, Run]
    directory: dict[str, Any] = field(default_factory=dict)


def workspace_of(request: Request) -> Workspace:
    return request.app.state.workspace


def route(path: str, handler: Handler, method: str = "GET") -> BaseRoute:
    """A route for those with a token of this workspace."""

    async def guarded(request: Request) -> Response:
        workspace = workspace_of(request)
        try:
            workspace.identity.verify(request.headers.get("authorization"), {SERVICE})
        except Unauthorized as error:
            return _error(401, "UNAUTHENTICATED", str(error))
        try:
            return await handler(request)
        except Refused as error:
            return _error(error.status, error.code, str(error))

    return KnownRoute(path, guarded, methods=[method])


def oauth_routes() -> list[BaseRoute]:
    """Machine-to-machine OAuth of a service principal (docs: "Authorize service principal access with OAuth")."""

    async def server(request: Request) -> Response:
        root = f"{workspace_of(request).address}/oidc"
        endpoints = {f"{name}_endpoint": f"{root}/v1/{path}" for name, path in _ENDPOINTS.items()}
        return JSONResponse({"issuer": root, **endpoints})

    async def token(request: Request) -> Response:
        workspace, form = workspace_of(request), dict(parse_qsl((await request.body()).decode()))
        given = base64.b64encode(f"{workspace.client_id}:{workspace.identity.secret}".encode()).decode()
        if form.get("grant_type") == EXCHANGE:
            refused = _refused_exchange(workspace, form)
            if refused:
                return JSONResponse({"error": "invalid_request", "error_description": refused}, 400)
        elif request.headers.get("authorization") != f"Basic {given}" or form.get("grant_type") != "client_credentials":
            error = {"error": "invalid_client", "error_description": "Client authentication failed"}
            return JSONResponse(error, 401)
        issued, _ = workspace.identity.issue(SERVICE)
        answer = {"access_token": issued, "token_type": "Bearer", "scope": form.get("scope")}
        return JSONResponse(answer | {"expires_in": workspace.identity.seconds})

    return [
        KnownRoute("/oidc/.well-known/oauth-authorization-server", server),
        KnownRoute("/oidc/v1/token", token, methods=["POST"]),
    ]


EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"


def _refused_exchange(workspace: Workspace, form: dict[str, str]) -> str:
    """Why the token of a service account is not exchanged (docs: "workload identity federation"); "" when it is."""
    if form.get("subject_token_type") != "urn:ietf:params:oauth:token-type:jwt" or form.get("scope") != "all-apis":
        return "The token exchange is malformed"
    if form.get("client_id") != workspace.client_id:
        return "No service principal has this client id"
    refused = workspace.identity.refused_workload(form.get("subject_token", ""))
    return "No federation policy of the service principal matches the token" if refused else ""


_ENDPOINTS = {"authorization": "authorize", "token": "token"}


def fault_answer(fault: Fault) -> Response:
    """A fault in the shape of this service."""
    status, code, message = BODIES[fault.kind]
    answered = _error(status, _CODES.get(code, code), message.format(seconds=fault.seconds))
    if status in (429, 503):
        answered.headers["retry-after"] = f"{fault.seconds:.0f}"
    return answered


_CODES = {
    "TooManyRequests": "REQUEST_LIMIT_EXCEEDED",
    "InternalServerError": "INTERNAL_ERROR",
    "ServiceUnavailable": "TEMPORARILY_UNAVAILABLE",
    "InvalidAuthenticationToken": "UNAUTHENTICATED",
    "AuthorizationFailed": "PERMISSION_DENIED",
}


def _error(status: int, code: str, message: str) -> Response:
    return JSONResponse({"error_code": code, "message": message}, status)


def build(workspace: Workspace) -> Starlette:
    """The application."""
    from ml_platform_tests.emulators.databricks.directory import directory_routes
    from ml_platform_tests.emulators.databricks.jobs import job_routes
    from ml_platform_tests.emulators.databricks.volumes import volume_routes

    routes = [*oauth_routes(), *volume_routes(), *job_routes(), *directory_routes()]
    app = Starlette(routes=routes, lifespan=workspace.compute.lifespan)
    app.state.workspace = workspace
    return app
