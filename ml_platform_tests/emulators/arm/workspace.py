"""The workspace itself and its datastores."""

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from ml_platform_tests.emulators.arm.blob_store import ARTIFACTS, OWN_ACCOUNT, OWN_CONTAINER
from ml_platform_tests.emulators.arm.resources import action_body, answered, arm_of, listed, route
from ml_platform_tests.emulators.arm.state import Arm, Resource
from ml_platform_tests.emulators.identity import PRINCIPAL, TENANT
from ml_platform_tests.emulators.recording import KnownRoute


def found(arm: Arm) -> None:
    """Put what a new workspace has: itself, its two own datastores, and the one of the lake."""
    arm.store.put(_workspace(arm))
    own = {"workspaceblobstore": OWN_CONTAINER, "workspaceartifactstore": ARTIFACTS}
    for name, container in own.items():
        arm.store.put(_datastore(arm, name, OWN_ACCOUNT, container, default=name == "workspaceblobstore"))
    workspace = arm.workspace
    arm.store.put(_datastore(arm, workspace.datastore, workspace.account, workspace.container, default=False))


def _workspace(arm: Arm) -> Resource:
    place, region = arm.workspace, arm.workspace.region
    group = f"/subscriptions/{place.subscription}/resourceGroups/{place.group}/providers"
    host = arm.address.removeprefix("https://")
    properties = {
        "workspaceId": place.guid,
        "friendlyName": place.name,
        "description": "",
        "provisioningState": "Succeeded",
        "hbiWorkspace": False,
        "publicNetworkAccess": "Disabled",
        "discoveryUrl": f"{arm.address}/discovery",
        "mlFlowTrackingUri": f"azureml://{host}/mlflow/v1.0{place.id}",
        "storageAccount": f"{group}/Microsoft.Storage/storageAccounts/{OWN_ACCOUNT}",
        "keyVault": f"{group}/Microsoft.KeyVault/vaults/kv-loopback",
        "applicationInsights": f"{group}/Microsoft.Insights/components/appi-loopback",
        "containerRegistry": f"{group}/Microsoft.ContainerRegistry/registries/crloopback",
        "tenantId": TENANT,
        "v1LegacyMode": False,
        "systemDatastoresAuthMode": "identity",
        "enableDataIsolation": False,
        "storageHnsEnabled": False,
    }
    identity = {"type": "SystemAssigned", "principalId": PRINCIPAL, "tenantId": TENANT}
    sku = {"name": "Basic", "tier": "Basic"}
    extra = {"location": region, "kind": "Default", "sku": sku, "identity": identity, "tags": {}}
    return Resource("", (), properties, extra)


def _datastore(arm: Arm, name: str, account: str, container: str, default: bool) -> Resource:
    properties = {
        "datastoreType": "AzureBlob",
        "accountName": account,
        "containerName": container,
        "endpoint": "core.windows.net",
        "protocol": "https",
        "isDefault": default,
        "description": None,
        "tags": {},
        "properties": {},
        "credentials": {"credentialsType": "None"},
        "serviceDataAccessAuthIdentity": "WorkspaceSystemAssignedIdentity",
        "subscriptionId": arm.workspace.subscription,
        "resourceGroup": arm.workspace.group,
    }
    return Resource("datastores", (name,), properties)


async def get_workspace(request: Request) -> Response:
    return answered(request, arm_of(request).store.get("", ()))


async def get_datastore(request: Request) -> Response:
    return answered(request, arm_of(request).store.get("datastores", (request.path_params["name"],)))


async def list_datastores(request: Request) -> Response:
    found = arm_of(request).store.below("datastores", ())
    default = request.query_params.get("isDefault", "").lower()
    return listed(request, [each for each in found if default in ("", str(each.properties["isDefault"]).lower())])


async def datastore_secrets(request: Request) -> Response:
    """Datastores by identity have none: the answer says so, in the shape of the type."""
    await action_body(request, "datastores", "listSecrets")
    arm_of(request).store.get("datastores", (request.path_params["name"],))
    return JSONResponse({"error": {"code": "UserError", "message": "The datastore has no credentials."}}, 400)


def workspace_routes() -> list[KnownRoute]:
    return [
        route("", get_workspace),
        route("/datastores", list_datastores),
        route("/datastores/{name}", get_datastore),
        route("/datastores/{name}/listSecrets", datastore_secrets, "POST"),
    ]
