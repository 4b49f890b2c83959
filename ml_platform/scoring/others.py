"""What a host answers beside scoring: health, its OpenAPI document and what it counted."""

import msgspec
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import Lifespan

from ml_platform.scoring.host import Host
from ml_platform.scoring.measures import CONTENT_TYPE, exposition, measured
from ml_platform.scoring.refusal import Refusal
from ml_platform.scoring.serving import Serving

FAILED = b'{"message":"the host failed; its log says why"}'


def other_routes(host: Host, lifespan: Lifespan[Starlette]) -> Starlette:
    """The application of the routes other than scoring."""
    others = _Others(host)
    routes = [
        Route("/", others.live),
        Route("/health/live", others.live),
        Route("/health/ready", others.ready),
        Route("/metrics", others.metrics),
        Route("/swagger.json", others.openapi),
        Route("/openapi.json", others.openapi),
    ]
    handlers = {HTTPException: _refuse, Refusal: _refuse, 500: _fail}
    return Starlette(routes=routes, exception_handlers=handlers, lifespan=lifespan)


class _Others:
    def __init__(self, host: Host) -> None:
        self._host = host

    async def live(self, request: Request) -> Response:
        """GET / and /health/live."""
        return PlainTextResponse("Healthy")

    async def ready(self, request: Request) -> Response:
        """GET /health/ready: what is served, and how many rows the inference log has lost."""
        main, routes = _main(self._host), self._host.routes
        return _json(
            {
                "model": {"name": main.deployment.model_name, "version": main.deployment.model_version},
                "deployments": {name: serving.deployment.model_version for name, serving in routes.ready.items()},
                "traffic": routes.traffic,
                "inference_log": {"dropped_rows": self._host.log.dropped_rows},
            }
        )

    async def openapi(self, request: Request) -> Response:
        """GET /swagger.json and /openapi.json: of the deployment with the largest share of the requests."""
        return Response(_main(self._host).openapi, media_type="application/json")

    async def metrics(self, request: Request) -> Response:
        """GET /metrics: what all workers have counted, for Prometheus."""
        self._host.tell()
        return Response(exposition(measured(self._host.directory)), media_type=CONTENT_TYPE)


def _main(host: Host) -> Serving:
    if host.routes.main is None:
        raise Refusal(503, host.reason or "no deployment has traffic")
    return host.routes.main


def _json(content: object, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(msgspec.json.encode(content), status, headers, "application/json")


async def _refuse(request: Request, error: Exception) -> Response:
    if isinstance(error, Refusal):
        return _json({"message": error.message}, error.status, error.headers)
    assert isinstance(error, HTTPException)
    return _json({"message": error.detail}, error.status_code, dict(error.headers or {}))


async def _fail(request: Request, error: Exception) -> Response:
    return Response(FAILED, 500, media_type="application/json")
