"""Puts the emulated Resource Manager together: who may call, which routes there are, what starts and ends with it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from ml_platform_tests.emulators.arm.answers import Refused, refuse
from ml_platform_tests.emulators.arm.artifacts import artifact_routes
from ml_platform_tests.emulators.arm.assets import asset_routes
from ml_platform_tests.emulators.arm.autoscale import autoscale_routes
from ml_platform_tests.emulators.arm.blobs import blob_routes
from ml_platform_tests.emulators.arm.capacity import capacity_routes
from ml_platform_tests.emulators.arm.cloud_metadata import cloud_metadata_routes
from ml_platform_tests.emulators.arm.computes import cluster_found, compute_routes
from ml_platform_tests.emulators.arm.endpoint_identity import endpoint_identity_routes
from ml_platform_tests.emulators.arm.endpoints import end_hosted, endpoint_routes
from ml_platform_tests.emulators.arm.front_end import FrontEnd
from ml_platform_tests.emulators.arm.jobs import job_routes
from ml_platform_tests.emulators.arm.operations import operation_routes
from ml_platform_tests.emulators.arm.registry import registry_routes
from ml_platform_tests.emulators.arm.schedules import schedule_routes
from ml_platform_tests.emulators.arm.state import Arm
from ml_platform_tests.emulators.arm.tracking import tracking_routes
from ml_platform_tests.emulators.arm.uploads import upload_routes
from ml_platform_tests.emulators.arm.workspace import found, workspace_routes
from ml_platform_tests.emulators.identity import ISSUER, Unauthorized, identity_routes
from ml_platform_tests.emulators.recording import KnownRoute

PROTECTED = ("/subscriptions/", "/mlflow/", "/history/", "/artifact/")


def routes() -> list[KnownRoute]:
    """All routes behind a token. Modules of other resources are added here."""
    registry = [*registry_routes(), *tracking_routes(), *schedule_routes()]
    assets = [*asset_routes(), *upload_routes(), *artifact_routes()]
    executed = [*compute_routes(), *capacity_routes(), *job_routes(), *endpoint_routes(), *autoscale_routes()]
    return [*workspace_routes(), *assets, *operation_routes(), *registry, *executed]


def build(arm: Arm) -> Starlette:
    """The application; `arm` holds its state."""

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        found(arm)
        cluster_found(arm)
        async with FrontEnd(arm).listening():
            yield
        await end_hosted(arm)
        await arm.programs.end()

    every = [*cloud_metadata_routes(), *identity_routes(arm.identity), *routes(), *blob_routes(arm.blobs)]
    every += endpoint_identity_routes()
    app = Starlette(
        routes=every,
        middleware=[Middleware(Guard, arm=arm)],
        exception_handlers={Refused: refuse},
        lifespan=lifespan,
    )
    app.state.arm = arm
    return app


class Guard:
    """ASGI middleware: no ARM, MLflow or history route without a living token of this tenant."""

    def __init__(self, app: ASGIApp, arm: Arm) -> None:
        self.app, self.arm = app, arm

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"].startswith(PROTECTED):
            try:
                self.arm.identity.verify(Request(scope).headers.get("authorization"))
            except Unauthorized as error:
                challenge = f'Bearer authorization_uri="{ISSUER}", error="invalid_token", error_description="{error}"'
                body = {"error": {"code": error.code, "message": str(error)}}
                return await JSONResponse(body, 401, {"WWW-Authenticate": challenge})(scope, receive, send)
        return await self.app(scope, receive, send)
