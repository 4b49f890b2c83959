"""Artifacts of runs and of local uploads, as azureml-mlflow's artifact repository asks for them.

It asks the history or artifact service for a place to write or read, and goes to the blob service with that (a URL
with a SAS). An artifact's origin and container are its folder in the container of the workspace's artifact store:
`ExperimentRun/dcid.RUN/PATH`, `LocalUpload/ID/PATH`.
"""

from collections.abc import Callable
from typing import Any
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from ml_platform_tests.emulators.arm.answers import not_found
from ml_platform_tests.emulators.arm.blob_store import ARTIFACTS
from ml_platform_tests.emulators.arm.resources import WORKSPACE, arm_of
from ml_platform_tests.emulators.arm.state import Arm
from ml_platform_tests.emulators.recording import KnownRoute

RUNS = f"/history/v1.0{WORKSPACE}/experiments/{{experiment}}/runs/{{run}}/artifacts"
UPLOADS = f"/artifact/v2.0{WORKSPACE}/artifacts/{{origin}}/{{container}}"


def artifact_routes() -> list[KnownRoute]:
    return [
        KnownRoute(RUNS, _list),
        KnownRoute(f"{RUNS}/contentinfo", _read),
        KnownRoute(f"{RUNS}/batch/metadata", _create, methods=["POST"]),
        KnownRoute(UPLOADS, _list),
        KnownRoute(f"{UPLOADS}/contentinfo", _read),
        KnownRoute(f"{UPLOADS}/batch/metadata", _create, methods=["POST"]),
    ]


def run_folder(run: str) -> str:
    """Where a run's artifacts stand in the artifact store's container."""
    return f"ExperimentRun/dcid.{run}"


def _folder(request: Request) -> tuple[str, str]:
    """Origin and container that a request is about."""
    names = request.path_params
    return ("ExperimentRun", f"dcid.{names['run']}") if "run" in names else (names["origin"], names["container"])


async def _list(request: Request) -> Response:
    origin, container = _folder(request)
    prefix = f"{origin}/{container}/"
    found = [name.removeprefix(prefix) for name in arm_of(request).blobs.names(ARTIFACTS, prefix)]
    value = [_artifact(origin, container, path) for path in found]
    return JSONResponse({"value": value, "continuationToken": None, "nextLink": None})


async def _read(request: Request) -> Response:
    arm, path, (origin, container) = arm_of(request), request.query_params["path"], _folder(request)
    if not arm.blobs.path(ARTIFACTS, f"{origin}/{container}/{path}").is_file():
        raise not_found(f"{origin}/{container}/{path}")
    return JSONResponse(_place(arm, origin, container, path, "r"))


async def _create(request: Request) -> Response:
    """Places for new artifacts; one that is there already is an error of its own, as in the service."""
    arm, (origin, container) = arm_of(request), _folder(request)
    paths = [each["path"] for each in (await request.json())["paths"]]
    taken = {path for path in paths if arm.blobs.path(ARTIFACTS, f"{origin}/{container}/{path}").is_file()}
    errors = {path: _conflict(origin, container, path) for path in taken}

    def each(make: Callable[[str], Any]) -> dict[str, Any]:
        return {path: make(path) for path in paths if path not in taken}

    artifacts = each(lambda path: _artifact(origin, container, path))
    places = each(lambda path: _place(arm, origin, container, path, "cw"))
    return JSONResponse({"artifacts": artifacts, "artifactContentInformation": places, "errors": errors})


def _conflict(origin: str, container: str, path: str) -> dict[str, Any]:
    message = f"Resource Conflict: ArtifactId {origin}/{container}/{path} already exists."
    return {"error": {"code": "UserError", "message": message, "innerError": {"code": "Conflict"}}}


def _artifact(origin: str, container: str, path: str) -> dict[str, Any]:
    return {"artifactId": f"{origin}/{container}/{path}", "origin": origin, "container": container, "path": path}


def _place(arm: Arm, origin: str, container: str, path: str, permissions: str) -> dict[str, Any]:
    url = f"{arm.blobs.container(ARTIFACTS)}/{quote(f'{origin}/{container}/{path}')}"
    sas = arm.blobs.sas(ARTIFACTS, permissions)
    return {"contentUri": f"{url}?{sas}", "origin": origin, "container": container, "path": path}
