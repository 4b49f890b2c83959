"""The workspace's compute cluster: so many machines, an identity, and the whim to take machines back."""

import asyncio
from dataclasses import dataclass, field

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from ml_platform_tests.emulators.arm.answers import invalid
from ml_platform_tests.emulators.arm.resources import answered, arm_of, route
from ml_platform_tests.emulators.arm.state import Arm, Resource
from ml_platform_tests.emulators.identity import PRINCIPAL, TENANT
from ml_platform_tests.emulators.recording import CONTROL, KnownRoute

KIND, NAME = "computes", "cpu-cluster"
IDENTITY_ROUTE = "/msi/cluster"
"""Where machines of the cluster ask for tokens, as MSI_ENDPOINT says."""


@dataclass
class Cluster:
    """The machines; `preemptions` are the seconds after which the next programs lose theirs."""

    machines: int = 2
    preemptions: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.free = asyncio.Semaphore(self.machines)


def cluster_found(arm: Arm) -> None:
    """Put the cluster that the workspace has."""
    cluster = Cluster()
    scale = {"minNodeCount": 0, "maxNodeCount": cluster.machines, "nodeIdleTimeBeforeScaleDown": "PT2M"}
    machines = {"vmSize": "STANDARD_D4S_V3", "vmPriority": "LowPriority", "scaleSettings": scale, "osType": "Linux"}
    properties = {"computeType": "AmlCompute", "provisioningState": "Succeeded", "properties": machines}
    identity = {"type": "SystemAssigned", "principalId": PRINCIPAL, "tenantId": TENANT}
    extra = {"location": arm.workspace.region, "identity": identity, "tags": {}}
    arm.store.put(Resource(KIND, (NAME,), properties, extra, hidden={"cluster": cluster}))


def cluster_of(arm: Arm, compute: str) -> Cluster:
    """The cluster with an ARM id; what is no compute of the workspace is refused."""
    found = arm.store.find(KIND, (compute.rpartition("/")[2],))
    if found is None:
        raise invalid(f"Compute {compute!r} was not found in the workspace.")
    return found.hidden["cluster"]


def compute_routes() -> list[KnownRoute]:
    return [
        route("/computes/{name}", get_compute),
        KnownRoute(IDENTITY_ROUTE, token),
        KnownRoute(f"{CONTROL}preempt", preempt, methods=["POST"]),
    ]


async def get_compute(request: Request) -> Response:
    return answered(request, arm_of(request).store.get(KIND, (request.path_params["name"],)))


async def token(request: Request) -> Response:
    """The cluster's managed identity (api-version 2017-09-01, header `secret`)."""
    identity = request.app.state.arm.identity
    if request.headers.get("secret") != identity.secret:
        return JSONResponse({"error": {"code": "Unauthorized", "message": "The secret is wrong."}}, 401)
    resource = request.query_params["resource"]
    issued, ends = identity.issue(resource)
    answer = {"access_token": issued, "expires_on": str(ends), "resource": resource, "token_type": "Bearer"}
    return JSONResponse(answer | {"client_id": PRINCIPAL})


async def preempt(request: Request) -> Response:
    """A fault, {"count", "seconds"}: so many programs lose their machine, each so long after it began."""
    told = await request.json()
    cluster: Cluster = request.app.state.arm.store.get(KIND, (NAME,)).hidden["cluster"]
    cluster.preemptions += [float(told["seconds"])] * int(told["count"])
    return JSONResponse({})
