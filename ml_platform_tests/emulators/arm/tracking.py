"""MLflow's tracking API on the workspace: what the service has of it, passed on to the MLflow server behind.

The service has no logged models and none of MLflow 3's own routes: it answers 404 there. Runs keep their artifacts in
the workspace's artifact store, so their addresses are the workspace's.
"""

from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from ml_platform_tests.emulators.arm.resources import WORKSPACE, arm_of
from ml_platform_tests.emulators.arm.state import Arm
from ml_platform_tests.emulators.recording import KnownRoute

MLFLOW = f"/mlflow/v2.0{WORKSPACE}/api"
SERVED = {
    "experiments": "create get get-by-name search delete restore update set-experiment-tag",
    "runs": "create get search update delete restore log-batch log-metric log-parameter set-tag delete-tag log-inputs",
    "metrics": "get-history",
}
METHODS = ["GET", "POST", "PATCH", "DELETE"]


def tracking_routes() -> list[KnownRoute]:
    """The routes behind `azureml://`; those of the registry (registry.py) stand before them."""
    served = [f"{MLFLOW}/2.0/mlflow/{topic}/{call}" for topic, calls in SERVED.items() for call in calls.split()]
    return [
        *(KnownRoute(path, _pass_on, methods=METHODS) for path in served),
        KnownRoute(f"{MLFLOW}/2.0/mlflow/logged-models/{{rest:path}}", absent, methods=METHODS),
        KnownRoute(f"{MLFLOW}/2.0/mlflow/logged-models", absent, methods=METHODS),
        KnownRoute(f"{MLFLOW}/3.0/mlflow/{{rest:path}}", absent, methods=METHODS),
    ]


async def absent(_: Request) -> Response:
    """The service's answer for a route that it does not have: 404 and no body (Azure/azure-sdk-for-python#44896)."""
    return Response(status_code=404)


async def _pass_on(request: Request) -> Response:
    arm, path = arm_of(request), request.url.path.partition("/api/2.0/mlflow/")[2]
    answer = await arm.mlflow.call(request.method, path, request.url.query, await request.body())
    if not answer.is_success:
        return Response(answer.content, answer.status_code, media_type="application/json")
    return JSONResponse(_in_workspace(arm, answer.json()))


def mlflow_error(status: int, code: str, message: str) -> Response:
    """An error as MLflow's client reads it; it hides the code of what is no known one."""
    return JSONResponse({"error_code": code, "message": message, "error": {"code": code, "message": message}}, status)


def artifact_root(arm: Arm, experiment: str, run: str) -> str:
    """A run's `artifact_uri`, by which azureml-mlflow finds its artifacts."""
    host = arm.address.removeprefix("https://")
    return f"azureml://{host}/mlflow/v2.0{arm.workspace.id}/experiments/{experiment}/runs/{run}/artifacts"


def _in_workspace(arm: Arm, body: dict[str, Any]) -> dict[str, Any]:
    """The answer with the addresses of the workspace in place of those of the server behind it."""
    run, experiment = body.get("run"), body.get("experiment")
    infos = [each["info"] for each in [*body.get("runs", []), *([run] if run else [])]]
    infos += [body["run_info"]] if "run_info" in body else []
    for info in infos:
        info["artifact_uri"] = artifact_root(arm, info["experiment_id"], info["run_id"])
    for each in [*body.get("experiments", []), *([experiment] if experiment else [])]:
        each["artifact_location"] = artifact_root(arm, each["experiment_id"], "").replace("/runs//artifacts", "")
    return body
