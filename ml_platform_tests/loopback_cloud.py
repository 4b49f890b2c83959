"""The loopback cloud of the tests: the emulators, and the environment in which the unchanged SDKs reach them."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from ml_platform.gateways.workspace import workspace_client
from ml_platform_tests.emulators.arm.state import Workspace
from ml_platform_tests.emulators.azurite import Azurite, azurite
from ml_platform_tests.emulators.entering import become, enter
from ml_platform_tests.emulators.process import Cloud, Emulator, started

WORKSPACE = Workspace().id
SUBSCRIPTION = f"/subscriptions/{Workspace().subscription}"
COMPUTE = "cpu-cluster"
TRAINING, SCORING = "ml-platform-training", "ml-platform-scoring"
"""The environments whose images hold the training and the scoring server."""


@dataclass(frozen=True)
class Loopback:
    """A workspace with a cluster and an environment to train in, and a storage account with a lake."""

    arm: Emulator
    storage: Azurite
    lake: str

    @property
    def tracking_uri(self) -> str:
        """The workspace's MLflow."""
        return tracking_uri(self.arm)

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
            make_environments(TRAINING)
        yield made


@contextmanager
def reached(cloud: Loopback) -> Iterator[None]:
    """This process is in the cloud meanwhile, without the secrets of another."""
    with pytest.MonkeyPatch.context() as patch:
        become(patch, cloud.storage.environment())
        enter(cloud.arm, patch)
        yield


def tracking_uri(arm: Emulator) -> str:
    """The workspace's MLflow."""
    return f"azureml://{arm.address.removeprefix('https://')}/mlflow/v1.0{WORKSPACE}"


def make_environments(*names: str) -> None:
    """Register version 1 of each, as the deployment's workflow does; of the scoring server with the routes it has."""
    from azure.ai.ml.entities import Environment

    routes = {"liveness": "/health/live", "readiness": "/health/ready", "scoring": "/score"}
    config = {f"{each}_route": {"port": 5001, "path": path} for each, path in routes.items()}
    environments = workspace_client(WORKSPACE).environments
    for name in names:
        image, inference = f"crloopback.azurecr.io/{name}:1", config if name == SCORING else None
        environments.create_or_update(Environment(name=name, version="1", image=image, inference_config=inference))
