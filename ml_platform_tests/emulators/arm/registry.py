"""MLflow's model registry on the workspace: another view of ARM's models, which are the one store.

What the service supports: https://learn.microsoft.com/azure/machine-learning/how-to-manage-models-mlflow. Models are
registered in MLflow's format only, can neither be renamed nor deleted, and are searched by name alone. Aliases are not
among what it lists: the emulator answers 404, as for every route that the service does not have.
"""

import re
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any

import yaml
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from ml_platform_tests.emulators.arm.answers import Refused
from ml_platform_tests.emulators.arm.artifacts import run_folder
from ml_platform_tests.emulators.arm.assets import MODELS, contain, latest, put_version
from ml_platform_tests.emulators.arm.blob_store import ARTIFACTS
from ml_platform_tests.emulators.arm.resources import arm_of
from ml_platform_tests.emulators.arm.state import Arm, Resource, now
from ml_platform_tests.emulators.arm.tracking import MLFLOW, absent, mlflow_error
from ml_platform_tests.emulators.recording import KnownRoute

# What MLflow's client adds by itself, in either spelling: a workspace has no prompts.
NO_PROMPTS = [f"{each}.`mlflow.prompt.is_prompt` != 'true'" for each in ("tag", "tags")]
Body = dict[str, Any]
Handler = Callable[[Arm, Body], Body]


class Absent(Exception):
    """MLflow's error for what is not there, or is there already: `status`, `code` and a message."""

    def __init__(self, status: int, code: str, message: str) -> None:
        self.status, self.code = status, code
        super().__init__(message)


def registry_routes() -> list[KnownRoute]:
    calls: list[tuple[str, str, Handler]] = [
        ("registered-models/create", "POST", _create_model),
        ("registered-models/get", "GET", lambda arm, body: {"registered_model": _model(arm, _held(arm, body))}),
        ("registered-models/search", "GET", _search_models),
        ("registered-models/get-latest-versions", "GET", _latest_versions),
        ("registered-models/get-latest-versions", "POST", _latest_versions),
        ("registered-models/update", "PATCH", _update_model),
        ("registered-models/set-tag", "POST", lambda arm, body: _tag(_held(arm, body), body)),
        ("registered-models/delete-tag", "DELETE", lambda arm, body: _tag(_held(arm, body), body)),
        ("model-versions/create", "POST", _create_version),
        ("model-versions/get", "GET", lambda arm, body: {"model_version": _version(_held(arm, body))}),
        ("model-versions/search", "GET", _search_versions),
        ("model-versions/update", "PATCH", _update_version),
        ("model-versions/transition-stage", "POST", _update_version),
        ("model-versions/delete", "DELETE", lambda arm, body: arm.store.delete(_held(arm, body)) or {}),
        ("model-versions/get-download-uri", "GET", lambda arm, body: {"artifact_uri": _download(_held(arm, body))}),
        ("model-versions/set-tag", "POST", lambda arm, body: _tag(_held(arm, body), body)),
        ("model-versions/delete-tag", "DELETE", lambda arm, body: _tag(_held(arm, body), body)),
    ]
    none = [("alias", ["GET", "POST", "DELETE"]), ("rename", ["POST"]), ("delete", ["DELETE"])]
    base = f"{MLFLOW}/2.0/mlflow"
    served = [KnownRoute(f"{base}/{path}", _call(handler), methods=[method]) for path, method, handler in calls]
    return served + [KnownRoute(f"{base}/registered-models/{each}", absent, methods=methods) for each, methods in none]


def _call(handler: Handler) -> Callable[[Request], Awaitable[Response]]:
    async def called(request: Request) -> Response:
        arm = arm_of(request)
        body = dict(request.query_params) if request.method == "GET" else await request.json()
        try:
            return JSONResponse(handler(arm, body))
        except Absent as error:
            return mlflow_error(error.status, error.code, str(error))
        except Refused as error:
            arm.record.violate(f"{request.method} {request.url.path}", str(error))
            return mlflow_error(error.status, "INVALID_PARAMETER_VALUE", str(error))

    return called


def _held(arm: Arm, body: Body) -> Resource:
    """The model or version that a body names."""
    name, version = body["name"], body.get("version")
    kind, names = (MODELS.versions, (name, str(version))) if version else (MODELS.name, (name,))
    found = arm.store.find(kind, names)
    if found is None:
        raise Absent(404, "RESOURCE_DOES_NOT_EXIST", f"No model {' version '.join(names)} in the registry")
    return found


def _create_model(arm: Arm, body: Body) -> Body:
    if arm.store.find(MODELS.name, (body["name"],)):
        raise Absent(400, "RESOURCE_ALREADY_EXISTS", f"Registered model {body['name']} exists already")
    held = contain(arm, MODELS, body["name"])
    held.properties |= {"tags": _tags(body), "description": body.get("description")}
    return {"registered_model": _model(arm, held)}


def _update_model(arm: Arm, body: Body) -> Body:
    held = _held(arm, body)
    held.properties["description"], held.modified = body.get("description"), now()
    return {"registered_model": _model(arm, held)}


def _search_models(arm: Arm, body: Body) -> Body:
    wanted = _filter(body.get("filter", ""), {"name"})
    found = [each for each in arm.store.below(MODELS.name, ()) if wanted.get("name", each.names[0]) == each.names[0]]
    return {"registered_models": [_model(arm, each) for each in sorted(found, key=lambda each: each.names)]}


def _latest_versions(arm: Arm, body: Body) -> Body:
    newest = latest(arm, MODELS, _held(arm, {"name": body["name"]}).names[0])["latestVersion"]
    found = arm.store.find(MODELS.versions, (body["name"], newest)) if newest else None
    return {"model_versions": [_version(found)] if found else []}


def _create_version(arm: Arm, body: Body) -> Body:
    held = _held(arm, {"name": body["name"]})
    number = latest(arm, MODELS, held.names[0])["nextVersion"]
    uri = _model_uri(arm, body["source"])
    properties = {"modelUri": uri, "modelType": "mlflow_model", "flavors": _flavors(arm, uri), "tags": _tags(body)}
    properties |= {"jobName": body.get("run_id"), "description": body.get("description")}
    resource, _ = put_version(arm, MODELS, body["name"], number, {"properties": properties})
    resource.hidden["source"] = body["source"]
    return {"model_version": _version(resource)}


def _search_versions(arm: Arm, body: Body) -> Body:
    wanted = _filter(body.get("filter", ""), {"name", "run_id"})
    shown = [_version(each) for each in arm.store.below(MODELS.versions, ())]
    return {"model_versions": [each for each in shown if all(each[key] == value for key, value in wanted.items())]}


def _update_version(arm: Arm, body: Body) -> Body:
    held = _held(arm, body)
    held.properties |= {key: body[key] for key in ("description", "stage") if key in body}
    held.modified = now()
    return {"model_version": _version(held)}


def _tag(held: Resource, body: Body) -> Body:
    """Set a tag, or delete it where there is no value."""
    tags = {key: value for key, value in held.properties["tags"].items() if key != body["key"]}
    held.properties["tags"] = tags | ({body["key"]: body["value"]} if "value" in body else {})
    held.modified = now()
    return {}


def _tags(body: Body) -> dict[str, str]:
    return {each["key"]: each["value"] for each in body.get("tags", [])}


def _filter(text: str, known: set[str]) -> dict[str, str]:
    """`name='x' and run_id='y'`: all that the service can search by."""
    clauses = [each for each in re.split(r"\s+and\s+", text, flags=re.IGNORECASE) if each and each not in NO_PROMPTS]
    parsed = [re.fullmatch(r"\s*(\w+)\s*=\s*'([^']*)'\s*", each) for each in clauses]
    if not all(each and each[1] in known for each in parsed):
        raise Absent(
            400, "INVALID_PARAMETER_VALUE", f"The service searches by {', '.join(known)} alone, not by {text!r}"
        )
    return {each[1]: each[2] for each in parsed if each}


def _model_uri(arm: Arm, source: str) -> str:
    """ARM's address of what MLflow calls the source of a version."""
    run = re.fullmatch(
        rf"azureml://[^/]+/mlflow/v\d\.0{arm.workspace.id}/experiments/[^/]+/runs/([^/]+)/artifacts/(.+)", source
    )
    upload = re.fullmatch(r"azureml://artifacts/(.+)", source)
    if not run and not upload:
        return source
    path = f"{run_folder(run[1])}/{run[2]}" if run else upload[1] if upload else ""
    return arm.workspace.path("workspaceartifactstore", path)


def _flavors(arm: Arm, uri: str) -> Body:
    """The flavours in the MLmodel file of a model in the artifact store; without that file it is no MLflow model."""
    folder = uri.partition("/datastores/workspaceartifactstore/paths/")[2]
    if not folder:
        return {}
    file = arm.blobs.path(ARTIFACTS, f"{folder}/MLmodel")
    if not file.is_file():
        raise Absent(
            400, "INVALID_PARAMETER_VALUE", f"{uri} holds no MLmodel file: models are registered in MLflow's format"
        )
    flavors = yaml.safe_load(file.read_text())["flavors"]
    return {name: {"data": {key: str(value) for key, value in content.items()}} for name, content in flavors.items()}


def _download(held: Resource) -> str:
    artifact = held.properties["modelUri"].partition("/datastores/workspaceartifactstore/paths/")[2]
    return f"azureml://artifacts/{artifact}" if artifact else held.properties["modelUri"]


def _model(arm: Arm, held: Resource) -> Body:
    newest = latest(arm, MODELS, held.names[0])["latestVersion"]
    version = arm.store.find(MODELS.versions, (held.names[0], newest)) if newest else None
    return {**_common(held), "latest_versions": [_version(version)] if version else []}


def _version(held: Resource) -> Body:
    properties = held.properties
    return {
        **_common(held),
        "version": held.names[1],
        "current_stage": properties.get("stage") or "None",
        "source": held.hidden.get("source", properties["modelUri"]),
        "run_id": properties.get("jobName") or "",
        "status": "READY",
    }


def _common(held: Resource) -> Body:
    tags = [{"key": key, "value": value} for key, value in (held.properties["tags"] or {}).items()]
    times = {"creation_timestamp": _milliseconds(held.created), "last_updated_timestamp": _milliseconds(held.modified)}
    return {"name": held.names[0], "description": held.properties["description"] or "", "tags": tags, **times}


def _milliseconds(instant: str) -> int:
    return int(datetime.fromisoformat(instant).timestamp() * 1000)
