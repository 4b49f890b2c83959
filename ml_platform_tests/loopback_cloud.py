"""The loopback cloud of the tests: the emulators, and the environment in which the unchanged SDKs reach them."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from ml_platform_tests.emulators.azurite import Azurite, azurite
from ml_platform_tests.emulators.fixtures import enter
from ml_platform_tests.emulators.process import Cloud, Emulator, started

WORKSPACE = (
    "/subscriptions/11111111-2222-3333-4444-555555555555/resourceGroups/rg-loopback"
    "/providers/Microsoft.MachineLearningServices/workspaces/ws-loopback"
)
COMPUTE, ENVIRONMENT = "cpu-cluster", "ml-platform-training:1"
SECRETS = ("AZURE_STORAGE_ACCOUNT_KEY", "AZURE_STORAGE_SAS_TOKEN", "AZURE_CLIENT_SECRET")


@dataclass(frozen=True)
class Loopback:
    """A workspace with a cluster and an environment to train in, and a storage account with a lake."""

    arm: Emulator
    storage: Azurite
    lake: str

    @property
    def tracking_uri(self) -> str:
        """The workspace's MLflow."""
        return f"azureml://{self.arm.address.removeprefix('https://')}/mlflow/v1.0{WORKSPACE}"

    def artifacts(self, run: str) -> Path:
        """The folder in which the emulator keeps the artifacts of an MLflow run."""
        return self.arm.cloud.folder / "arm" / "blobs" / "azureml" / "ExperimentRun" / f"dcid.{run}"

    def submitted(self) -> list[str]:
        """The names of the jobs that were submitted and accepted, in their order."""
        calls = [call for call in self.arm.record()["calls"] if call["method"] == "PUT" and "/jobs/" in call["path"]]
        return [call["path"].rpartition("/")[2] for call in calls if call["status"] in (200, 201)]

    def preempt(self, seconds: float, count: int = 1) -> None:
        """So many programs lose their machine, each so long after it began."""
        self.arm._control("POST", "preempt", {"seconds": seconds, "count": count})


@contextmanager
def loopback(folder: Path) -> Iterator[Loopback]:
    """Start the emulators; on leaving, fail on what they recorded."""
    cloud = Cloud(folder)
    with ExitStack() as stack:
        storage = stack.enter_context(azurite(cloud))
        lake = storage.lake("lake")
        arm = stack.enter_context(started(cloud, "arm", environment=storage.key_environment()))
        made = Loopback(arm, storage, lake)
        with reached(made):
            _make_environment()
        yield made


@contextmanager
def reached(cloud: Loopback) -> Iterator[None]:
    """The environment of this process is that of the cloud meanwhile, without the secrets of another."""
    with pytest.MonkeyPatch.context() as patch:
        for name in SECRETS:
            patch.delenv(name, raising=False)
        for name, value in cloud.storage.environment().items():
            patch.setenv(name, value)
        enter(cloud.arm, patch)
        yield


def _make_environment() -> None:
    from azure.ai.ml.entities import Environment

    from ml_platform.gateways.workspace import workspace_client

    name, version = ENVIRONMENT.split(":")
    image = "crloopback.azurecr.io/ml-platform-training:1"
    workspace_client(WORKSPACE).environments.create_or_update(Environment(name=name, version=version, image=image))
