"""The Azure ML workspace: itself, its compute, environments and datastore, as azure-ai-ml sees them."""

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

from ml_platform.doctor.azure_failures import Asked, explained
from ml_platform.doctor.check import CheckFailed, CheckSkipped, Seen
from ml_platform.gateways.workspace import ARM_ID, check_workspace, resource_manager, workspace_client
from ml_platform.settings import Settings
from ml_platform.training.blobs import LAKE

if TYPE_CHECKING:
    from azure.ai.ml import MLClient
    from azure.ai.ml.entities import AmlCompute

ROLE = "AzureML Data Scientist"
HASTE = {"retry_total": 2, "connection_timeout": 5, "read_timeout": 20}
SERVERLESS = "serverless"
USABLE = ("idle", "preparing", "preempted", "leaving")
_ENVIRONMENT = re.compile(r"(?:azureml:)?(?P<name>[^/:@]+):(?P<version>[^/:@]+)")

T = TypeVar("T")


class Workspace:
    """The workspace that the settings name."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        # No cached_property: its lock is one for all workspaces, so that a look that hangs would hold the others.
        self._client: MLClient | None = None

    @property
    def client(self) -> "MLClient":
        """With fewer tries than a run makes: a doctor says soon what is wrong."""
        if self._client is None:
            self._client = workspace_client(self.settings.azureml_workspace, **HASTE)
        return self._client

    @property
    def base_url(self) -> str:
        """Of Azure Resource Manager in this cloud."""
        return resource_manager()

    @property
    def name(self) -> str:
        """For a person."""
        found = ARM_ID.fullmatch(check_workspace(self.settings.azureml_workspace))
        assert found
        return f"workspace {found['workspace']} in resource group {found['group']}"

    @property
    def asked(self) -> Asked:
        """For explanations of failures."""
        return Asked(self.name, urlsplit(self.base_url).netloc, ROLE, f"{self.base_url}/.default")

    def answer(self, call: Callable[[], T], missing: str, thing: str = "") -> T:
        """What a call answers. Raises CheckFailed; `missing` is the remedy where the `thing` asked for is not there."""
        from azure.core.exceptions import AzureError

        try:
            return call()
        except AzureError as error:
            failed = explained(error, self.asked, missing)
            raise CheckFailed(f"{thing}: {failed}", failed.remedy) if thing else failed from error

    def look(self) -> Seen:
        """The workspace answers this identity."""
        from importlib.metadata import version

        missing = f"Create {self.name}, or correct ML_PLATFORM_AZUREML_WORKSPACE"
        found: Any = self.answer(lambda: self.client.workspaces.get(self.client.workspace_name), missing)
        seen: Seen = {
            "workspace": str(found.name),
            "region": str(found.location),
            "azure_ai_ml": version("azure-ai-ml"),
        }
        return seen

    def look_at_compute(self) -> Seen:
        """The cluster that trains: its state, and how many nodes of it are left."""
        name = self._set("azureml_compute", "the compute cluster that trains")
        if name == SERVERLESS:
            return {"compute": SERVERLESS}
        compute = self.compute(name)
        state, most = _word(compute.provisioning_state), getattr(compute, "max_instances", None)
        seen: Seen = {"compute": name, "size": str(getattr(compute, "size", "")), "state": state}
        if state != "Succeeded":
            why = f"compute {name} is {state}: {getattr(compute, 'provisioning_errors', None) or 'no error is told'}"
            raise CheckFailed(why, f"Wait until compute {name} is there, or delete it and create it anew", **seen)
        if most is None:
            return seen
        nodes = [
            told(node, "nodeState") for node in self.answer(lambda: list(self.client.compute.list_nodes(name)), "")
        ]
        seen |= {
            "nodes_at_most": int(most),
            "nodes_left": int(most) - sum(state not in USABLE for state in nodes),
        }
        if most == 0:
            raise CheckFailed(
                f"compute {name} may have no node", f"Raise the maximum of nodes of compute {name}", **seen
            )
        if unusable := nodes.count("unusable"):
            remedy = f"Delete the unusable nodes of compute {name}, and look at its subnet, image and identity"
            raise CheckFailed(f"{unusable} nodes of compute {name} are unusable", remedy, **seen)
        return seen

    def compute(self, name: str) -> "AmlCompute":
        """A compute target. Raises CheckFailed where there is none of this name."""
        missing = f"Create compute cluster {name} in {self.name}, or correct ML_PLATFORM_AZUREML_COMPUTE"
        compute: Any = self.answer(lambda: self.client.compute.get(name), missing, f"compute {name}")
        return compute

    def look_at_environment(self, field: str, what: str) -> Seen:
        """An environment, `azureml:NAME:VERSION`, that a setting names."""
        value = self._set(field, f"the environment {what}")
        found = _ENVIRONMENT.fullmatch(value)
        variable = f"ML_PLATFORM_{field.upper()}"
        if found is None:
            raise CheckFailed(f"{variable} is {value!r}", f"Set {variable} to azureml:NAME:VERSION, an exact version")
        name, version = found["name"], found["version"]
        missing = f"Create version {version} of environment {name} in {self.name}, or correct {variable}"
        environment = self.answer(lambda: self.client.environments.get(name, version), missing, value)
        return {"environment": f"{name}:{version}", "image": str(environment.image or "built by the workspace")}

    def look_at_datastore(self) -> Seen:
        """The datastore whose container must be the lake's: models are registered by paths in it."""
        name = self._set("azureml_datastore", "the datastore that is the lake")
        missing = f"Create datastore {name} in {self.name}, or correct ML_PLATFORM_AZUREML_DATASTORE"
        store: Any = self.answer(lambda: self.client.datastores.get(name), missing, f"datastore {name}")
        container = getattr(store, "container_name", None) or getattr(store, "filesystem", None)
        points = f"{container}@{getattr(store, 'account_name', None)}"
        lake = LAKE.fullmatch(self.settings.lake_uri)
        wanted = f"{lake['container']}@{lake['account']}" if lake else self.settings.lake_uri
        if points != wanted:
            remedy = f"Create a datastore of {wanted} in {self.name} and name it in ML_PLATFORM_AZUREML_DATASTORE"
            raise CheckFailed(f"datastore {name} is {points}, and the lake is {wanted}", remedy, points_at=points)
        return {"datastore": name, "points_at": points}

    def look_at_store_secret(self) -> Seen:
        """Whether endpoints get a password for the online store. That they may read it, only they can tell."""
        settings, variable = self.settings, "ML_PLATFORM_AZUREML_ONLINE_STORE_SECRET"
        if settings.azureml_online_store_secret:
            raise CheckSkipped(f"only the identity of endpoints may read what {variable} names: a deployment tells")
        if settings.online_store_uri.startswith("rediss:"):
            raise CheckSkipped(f"without {variable} endpoints log in to Redis with Entra's token: a request tells")
        raise CheckFailed(
            "endpoints get no password of the online store",
            f"Put it into a Key Vault or a connection of {self.name} which the identity of endpoints may read, and "
            f"name that in {variable}",
        )

    def _set(self, field: str, what: str) -> str:
        value = str(getattr(self.settings, field))
        if not value:
            variable = f"ML_PLATFORM_{field.upper()}"
            raise CheckFailed(f"{variable} is not set", f"Set {variable} to {what} in {self.name}")
        return value


def told(entity: Any, name: str) -> Any:
    """What the service tells: the SDK puts it into an entity under the service's names, beside its own, left None."""
    return vars(entity).get(name)


def _word(state: Any) -> str:
    """A state as the service writes it: the SDK gives members of an enum, or words where it knows none."""
    return str(getattr(state, "value", state))
