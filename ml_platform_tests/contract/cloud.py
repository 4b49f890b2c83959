"""A loopback cloud for the tests of the gateways: an emulated Resource Manager and a storage account."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from ml_platform.gateways.workspace import workspace_client
from ml_platform_tests.emulators.azurite import Azurite, azurite
from ml_platform_tests.emulators.process import Cloud, Emulator, sdk_environment, started
from ml_platform_tests.loopback_cloud import SCORING, WORKSPACE

SCORING_ENVIRONMENT = f"{SCORING}:1"
MODELS_VERSION = "2023-08-01-preview"


@dataclass(frozen=True)
class Loopback:
    """A workspace and a lake; `environment` is what the SDKs read, an identity and no key."""

    arm: Emulator
    account: Azurite
    lake: str
    environment: Mapping[str, str]
    registered: set[tuple[str, str]] = field(default_factory=set)

    def blobs(self) -> Any:
        """The lake's container, by its key."""
        from azure.storage.blob import ContainerClient

        ca = str(self.account.cloud.ca)
        return ContainerClient(self.account.endpoint, "lake", credential=self.account.key, connection_verify=ca)

    def client(self) -> Any:
        """An MLClient of the workspace."""
        return workspace_client(WORKSPACE)

    def register_model(self, name: str, version: str, serving: Path) -> None:
        """A model version as MLflow lays it out, its files in the lake."""
        from azure.ai.ml.entities import Model

        folder = f"models/{name}/{version}/model"
        with self.blobs() as container:
            for file in serving.iterdir():
                container.upload_blob(f"{folder}/data/serving/{file.name}", file.read_bytes(), overwrite=True)
        path = f"azureml://datastores/lake/paths/{folder}"
        self.client().models.create_or_update(Model(name=name, version=version, path=path, type="custom_model"))
        self.registered.add((name, version))

    def clean(self) -> None:
        """Hold that no contract was broken, and leave nothing to the next test."""
        from azure.identity import DefaultAzureCredential

        self.arm.clear_faults()
        token = DefaultAzureCredential().get_token("https://management.azure.com/.default").token
        for name, version in self.registered:
            url = f"{self.arm.address}{WORKSPACE}/models/{name}/versions/{version}?api-version={MODELS_VERSION}"
            headers = {"authorization": f"Bearer {token}"}
            httpx.delete(url, headers=headers, verify=self.account.cloud.trust, trust_env=False).raise_for_status()
        self.registered.clear()
        left = [each["name"] for each in self.arm.autoscale_settings()]
        assert not left, f"autoscale settings were left, which would scale what is deployed later: {left}"
        with self.blobs() as container:
            for blob in container.list_blob_names():
                container.delete_blob(blob)
        self.arm.assert_clean()
        self.arm.clear()


@contextmanager
def running_cloud(folder: Path) -> Iterator[Loopback]:
    """Start a cloud; `entering.environ` lets this process be in it."""
    cloud = Cloud(folder)
    with azurite(cloud) as account:
        lake = account.lake("lake")
        # The emulator brings models to where a deployment mounts them, as the service does: with the account's key.
        with started(cloud, "arm", environment=account.key_environment()) as arm:
            yield Loopback(arm, account, lake, {**account.environment(), **sdk_environment(arm)})
