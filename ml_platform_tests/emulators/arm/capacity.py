"""What a subscription lets the workspace have: nodes of its compute, machines, cores, and what the caller may do.

POST `/_emulator/capacity` changes it: {"cores": {family: limit}, "nodes": [states], "state": of the cluster,
"roles": [permissions in the workspace], "group_roles": [permissions in its resource group]}; what is not named stays.
"""

from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from ml_platform_tests.emulators.arm.answers import not_found
from ml_platform_tests.emulators.arm.computes import KIND, NAME
from ml_platform_tests.emulators.arm.operations import PROVIDER
from ml_platform_tests.emulators.arm.resources import WORKSPACE, action_answer, arm_of, route
from ml_platform_tests.emulators.arm.state import Arm
from ml_platform_tests.emulators.recording import CONTROL, KnownRoute

MACHINES = {"Standard_DS3_v2": ("standardDSv2Family", 4, 14.0), "Standard_D4s_v3": ("standardDSv3Family", 4, 16.0)}
"""Family, cores and GB of the machines of the region."""

USED = {"standardDSv2Family": 8, "standardDSv3Family": 0}
LIMIT = 24
DATA_SCIENTIST = {
    "actions": [
        f"Microsoft.MachineLearningServices/workspaces/*/{verb}" for verb in ("read", "action", "delete", "write")
    ],
    "notActions": [
        "Microsoft.MachineLearningServices/workspaces/delete",
        "Microsoft.MachineLearningServices/workspaces/write",
        "Microsoft.MachineLearningServices/workspaces/computes/*/write",
        "Microsoft.MachineLearningServices/workspaces/computes/*/delete",
        "Microsoft.MachineLearningServices/workspaces/computes/listKeys/action",
        "Microsoft.MachineLearningServices/workspaces/listKeys/action",
    ],
    "dataActions": [],
    "notDataActions": [],
}
"""The built-in role AzureML Data Scientist, as far as it is about workspaces."""

AUTOSCALER = {
    "actions": [f"Microsoft.Insights/autoscaleSettings/{verb}" for verb in ("read", "write", "delete")],
    "notActions": [],
    "dataActions": [],
    "notDataActions": [],
}
"""The role of deployments/azure/bicep/autoscale-role.bicep."""
GROUP = "/subscriptions/{subscription}/resourceGroups/{group}"


def capacity_routes() -> list[Any]:
    return [
        route("/computes/{name}/listNodes", list_nodes, "POST"),
        KnownRoute(f"{PROVIDER}/usages", usages),
        KnownRoute(f"{PROVIDER}/vmSizes", machines),
        KnownRoute(f"{WORKSPACE}/providers/Microsoft.Authorization/permissions", permissions),
        KnownRoute(f"{GROUP}/providers/Microsoft.Authorization/permissions", group_permissions),
        Route(f"{CONTROL}capacity", change, methods=["POST"]),
    ]


def _held(arm: Arm) -> dict[str, Any]:
    hidden = arm.store.get("", ()).hidden
    return hidden.setdefault(
        "capacity", {"cores": {}, "nodes": [], "roles": [DATA_SCIENTIST], "group_roles": [AUTOSCALER]}
    )


async def change(request: Request) -> Response:
    arm, told = request.app.state.arm, await request.json()
    if state := told.pop("state", ""):
        arm.store.get(KIND, (NAME,)).properties["provisioningState"] = state
    _held(arm).update(told)
    return JSONResponse({})


async def list_nodes(request: Request) -> Response:
    arm = arm_of(request)
    arm.store.get(KIND, (request.path_params["name"],))
    nodes = [
        {"nodeId": f"tvmps_{n}", "nodeState": state, "port": 50000 + n} for n, state in enumerate(_held(arm)["nodes"])
    ]
    return action_answer(request, KIND, "listNodes", {"nodes": nodes, "nextLink": None})


async def usages(request: Request) -> Response:
    """https://learn.microsoft.com/rest/api/azureml/usages/list"""
    limits = _held(_in_region(request))["cores"]
    values = [
        {
            "id": f"{request.url.path}/{family}",
            "type": "Microsoft.MachineLearningServices/usages",
            "unit": "Count",
            "currentValue": used,
            "limit": limits.get(family, LIMIT),
            "name": {"value": family, "localizedValue": family},
        }
        for family, used in USED.items()
    ]
    return JSONResponse({"value": values, "nextLink": None})


async def machines(request: Request) -> Response:
    """https://learn.microsoft.com/rest/api/azureml/virtual-machine-sizes/list"""
    _in_region(request)
    values = [
        {
            "name": name,
            "family": family,
            "vCPUs": cores,
            "gpus": 0,
            "osVhdSizeMB": 1047552,
            "maxResourceVolumeMB": 32768,
            "memoryGB": memory,
            "lowPriorityCapable": True,
            "premiumIO": True,
            "supportedComputeTypes": ["AmlCompute", "ComputeInstance"],
        }
        for name, (family, cores, memory) in MACHINES.items()
    ]
    return JSONResponse({"value": values})


async def permissions(request: Request) -> Response:
    """https://learn.microsoft.com/rest/api/authorization/permissions/list-for-resource"""
    return JSONResponse({"value": _held(arm_of(request))["roles"], "nextLink": None})


async def group_permissions(request: Request) -> Response:
    """https://learn.microsoft.com/rest/api/authorization/permissions/list-for-resource-group"""
    arm: Arm = request.app.state.arm
    if request.path_params["group"].lower() != arm.workspace.group.lower():
        raise not_found(request.url.path)
    return JSONResponse({"value": _held(arm)["group_roles"], "nextLink": None})


def _in_region(request: Request) -> Arm:
    arm: Arm = request.app.state.arm
    if request.path_params["region"].lower() != arm.workspace.region:
        raise not_found(request.url.path)
    return arm
