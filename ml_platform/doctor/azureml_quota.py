"""Cores of the subscription, as far as they may be read: for the cluster that trains, and for endpoints."""

from dataclasses import dataclass
from typing import Any

from ml_platform.doctor.azure_failures import explained
from ml_platform.doctor.azureml import SERVERLESS, Workspace, told
from ml_platform.doctor.check import CheckFailed, CheckSkipped, Seen
from ml_platform.doctor.declarations import declared_autoscaling


@dataclass(frozen=True)
class Cores:
    """Cores of a family of machines in a region: `each` machine's, the `limit`, and those in use."""

    size: str
    family: str
    each: int
    limit: int
    used: int

    @property
    def seen(self) -> Seen:
        """As a check shows it."""
        machine: Seen = {"machine": self.size, "cores_each": self.each}
        return machine | {"family": self.family, "cores_limit": self.limit, "cores_used": self.used}

    def failure(self, wanted: int, what: str, region: str) -> CheckFailed:
        """Too few cores for `what`."""
        free = self.limit - self.used
        return CheckFailed(
            f"{what} wants {wanted} cores of {self.family} and {free} of {self.limit} are free",
            f"Ask for {self.used + wanted} cores of {self.family} in {region} (Azure ML studio, Quota), or choose "
            "another machine",
            **self.seen,
        )


def look_at_training_quota(workspace: Workspace) -> Seen:
    """Whether the cluster can have one node at least."""
    name = workspace.settings.azureml_compute
    if name == SERVERLESS:
        raise CheckSkipped("serverless compute chooses its machines itself")
    compute: Any = workspace.compute(name)
    if not getattr(compute, "size", None):
        raise CheckSkipped(f"compute {name} is no cluster of machines of this subscription's quota")
    cores = _cores(workspace, compute.location, compute.size)
    # Nodes of the cluster that are there count as used: only where none can be is it sure that none will come.
    if cores.limit < cores.each:
        raise cores.failure(cores.each, f"a node of compute {name}", compute.location)
    return cores.seen | {"nodes_at_most": compute.max_instances}


def look_at_serving_quota(workspace: Workspace) -> Seen:
    """Whether a new deployment of an endpoint fits: at a roll-out it stands beside the one before, as large as that."""
    settings = workspace.settings
    region = str(workspace.client.workspaces.get(workspace.client.workspace_name).location)  # pyright: ignore
    cores = _cores(workspace, region, settings.azureml_instance_type)
    instances = max([settings.azureml_instances, *(each.max_instances for each in declared_autoscaling().values())])
    wanted = cores.each * instances
    if cores.limit - cores.used < wanted:
        raise cores.failure(wanted, f"a deployment of {instances} instances", region)
    return cores.seen | {"cores_wanted": wanted}


def _cores(workspace: Workspace, region: str, size: str) -> Cores:
    from azure.core.exceptions import AzureError

    try:
        sizes = workspace.client.compute.list_sizes(location=region)
        usages = list(workspace.client.compute.list_usage(location=region))
    except AzureError as error:
        status = getattr(error, "status_code", None)
        if status not in (401, 403):
            raise explained(error, workspace.asked, f"Correct the region {region} of {workspace.name}") from error
        raise CheckSkipped(
            f"this identity may not read the quota of {region}: that takes Reader on the subscription"
        ) from error
    machine: Any = next((each for each in sizes if str(each.name).lower() == size.lower()), None)
    if machine is None:
        raise CheckFailed(
            f"there is no machine {size} in {region}",
            f"Set ML_PLATFORM_AZUREML_INSTANCE_TYPE, or the size of the compute cluster, to one that {region} has "
            "(az ml compute list-sizes)",
        )
    usage: Any = next((each for each in usages if _family(each) == str(machine.family).lower()), None)
    if usage is None:
        raise CheckSkipped(f"no quota of the family {machine.family} is told for {region}")
    return Cores(
        size, str(machine.family), int(told(machine, "vCPUs")), int(usage.limit), int(told(usage, "currentValue"))
    )


def _family(usage: Any) -> str:
    return str((told(usage, "name") or {}).get("value")).lower()
