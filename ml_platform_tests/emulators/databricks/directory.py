"""What a workspace tells of itself: who asks, its volume, its secrets, the runtimes, machines and policies of clusters.

POST `/_emulator/directory` changes it: {"entitlements": [...], "policies": {id: name}}; what is not named stays.
"""

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from ml_platform_tests.emulators.databricks.app import Refused, route, workspace_of
from ml_platform_tests.emulators.recording import CONTROL

ENTITLEMENTS = ["workspace-access", "databricks-sql-access"]
POLICIES = {"0011223344556677": "jobs of ml_platform"}
RUNTIMES = {"16.4.x-scala2.12": "16.4 LTS", "17.3.x-scala2.13": "17.3 LTS"}
MACHINES = {"Standard_D4ds_v5": (16384, 4), "Standard_D8ds_v5": (32768, 8)}


def directory_routes() -> list[BaseRoute]:
    return [
        route("/api/2.0/preview/scim/v2/Me", _me),
        route("/api/2.1/unity-catalog/volumes/{name}", _volume),
        route("/api/2.1/clusters/spark-versions", _runtimes),
        route("/api/2.1/clusters/list-node-types", _machines),
        route("/api/2.0/policies/clusters/get", _policy),
        route("/api/2.0/secrets/list", _secrets),
        Route(f"{CONTROL}directory", _change, methods=["POST"]),
    ]


async def _change(request: Request) -> Response:
    workspace_of(request).directory.update(await request.json())
    return JSONResponse({})


async def _me(request: Request) -> Response:
    workspace = workspace_of(request)
    entitlements = workspace.directory.get("entitlements", ENTITLEMENTS)
    name = {"id": "7312345678901234", "userName": workspace.client_id, "displayName": "ml_platform", "active": True}
    told = {"schemas": ["urn:ietf:params:scim:schemas:core:2.0:ServicePrincipal"], **name}
    return JSONResponse({**told, "entitlements": [{"value": each} for each in entitlements]})


async def _volume(request: Request) -> Response:
    name, volume = request.path_params["name"], workspace_of(request).compute.volume
    if name != ".".join(volume.parts[2:5]):
        raise Refused(404, "VOLUME_DOES_NOT_EXIST", f"Volume '{name}' does not exist.")
    catalog, schema, last = name.split(".")
    place = {"catalog_name": catalog, "schema_name": schema, "name": last, "full_name": name}
    return JSONResponse(
        {**place, "volume_type": "EXTERNAL", "storage_location": "abfss://jobs@account.dfs.core.windows.net"}
    )


async def _runtimes(_: Request) -> Response:
    return JSONResponse({"versions": [{"key": key, "name": name} for key, name in RUNTIMES.items()]})


async def _machines(_: Request) -> Response:
    kinds = [
        {
            "node_type_id": name,
            "memory_mb": memory,
            "num_cores": float(cores),
            "description": name,
            "instance_type_id": name,
            "category": "General Purpose",
        }
        for name, (memory, cores) in MACHINES.items()
    ]
    return JSONResponse({"node_types": kinds})


async def _secrets(request: Request) -> Response:
    scope = request.query_params["scope"]
    named = [name.strip("{}").split("/")[1:] for name in workspace_of(request).compute.secrets]
    if scope not in {each for each, _ in named}:
        raise Refused(404, "RESOURCE_DOES_NOT_EXIST", f"Scope {scope} does not exist!")
    return JSONResponse(
        {"secrets": [{"key": key, "last_updated_timestamp": 0} for each, key in named if each == scope]}
    )


async def _policy(request: Request) -> Response:
    policies, asked = workspace_of(request).directory.get("policies", POLICIES), request.query_params["policy_id"]
    if asked not in policies:
        raise Refused(404, "RESOURCE_DOES_NOT_EXIST", f"Cluster policy {asked} does not exist.")
    return JSONResponse({"policy_id": asked, "name": policies[asked], "definition": "{}"})
