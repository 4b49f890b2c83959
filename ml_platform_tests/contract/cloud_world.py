"""Endpoints with models of two versions as `local_world` has them, in a loopback cloud."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ml_platform.gateways.endpoints import Deployment, EndpointDeclaration, ScoringClient
from ml_platform.gateways.endpoints.azureml import AzureEndpoints
from ml_platform.gateways.endpoints.azureml_deployment import Hosting
from ml_platform.scoring.container_contract import INFERENCE_LOG
from ml_platform_tests.contract.cloud import SCORING_ENVIRONMENT, Loopback
from ml_platform_tests.contract.local_world import BIASES, NAME
from ml_platform_tests.loopback_cloud import WORKSPACE
from ml_platform_tests.serving_directories import write_serving_directory


class CloudWorld:
    """A workspace with a model `flights` of two versions; serving directories are where the registry keeps them."""

    def __init__(self, folder: Path, cloud: Loopback) -> None:
        self.folder, self.cloud, self.models = folder, cloud, folder / "models"
        self.endpoints = self.gateway()
        for version, bias in BIASES.items():
            self.register(version, write_serving_directory(self.models / "flights" / version, bias))

    def gateway(self, deadline: float = 60.0, instances: int = 1) -> AzureEndpoints:
        hosting = Hosting(WORKSPACE, SCORING_ENVIRONMENT, instances=instances)
        return AzureEndpoints(hosting, self.cloud.lake, self.models, deadline)

    def register(self, version: str, serving: Path) -> None:
        self.cloud.register_model("flights", version, serving)

    def register_torn(self, version: str) -> None:
        """A version whose model cannot be read."""
        serving = write_serving_directory(self.models / "flights" / version)
        (serving / "model.onnx").write_bytes(b"torn")
        self.register(version, serving)

    def declaration(self, version: str, colour: str = "blue") -> EndpointDeclaration:
        return self.of((self._deployment(colour, version),), {colour: 100})

    def both(self, traffic: dict[str, int], mirror: dict[str, int] | None = None) -> EndpointDeclaration:
        """Version 1 as blue beside version 2 as green."""
        colours = {"blue": "1", "green": "2"}
        return self.of(tuple(self._deployment(*each) for each in colours.items()), traffic, mirror=mirror or {})

    def of(self, deployments: tuple[Deployment, ...], traffic: dict[str, int], **more: Any) -> EndpointDeclaration:
        keys = (("flight_id",), "sched_dep_at")
        return EndpointDeclaration(NAME, deployments, traffic, *keys, replay_clock=True, **more)

    def client(self) -> ScoringClient:
        return ScoringClient(self.endpoints.scoring_uri(NAME), self.endpoints.keys(NAME).primary)

    def logged(self, collection: str) -> dict[str, dict[str, Any]]:
        """The logged rows of all deployments by prediction id; an id that stands twice fails."""
        return rows_of(lines_of(self.cloud, collection))

    def changes(self) -> list[str]:
        """What the workspace was asked to change."""
        return changes_of(self.cloud)

    def _deployment(self, colour: str, version: str) -> Deployment:
        return Deployment(colour, "flights", version, str(self.models / "flights" / version))


def lines_of(cloud: Loopback, collection: str) -> list[dict[str, Any]]:
    """The lines of the endpoint's log in the lake."""
    with cloud.blobs() as container:
        prefix = f"{INFERENCE_LOG}/{NAME}/"
        names = [name for name in container.list_blob_names(name_starts_with=prefix) if f"/{collection}/" in name]
        return [json.loads(line) for name in names for line in container.download_blob(name).readall().splitlines()]


def rows_of(lines: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    rows: dict[str, dict[str, Any]] = {}
    for line in lines:
        for index, row in enumerate(line["data"]):
            assert rows.setdefault(f"{line['correlationid']}_{index}", row) is row
    return rows


def changes_of(cloud: Loopback) -> list[str]:
    """The calls that change endpoints or deployments."""
    calls = cloud.arm.record()["calls"]
    return [f"{c['method']} {c['path'].rsplit('/', 1)[-1]}" for c in calls if c["method"] in ("PUT", "DELETE")]


@contextmanager
def cloud_world(folder: Path, cloud: Loopback) -> Iterator[CloudWorld]:
    world = CloudWorld(folder, cloud)
    try:
        yield world
    finally:
        world.endpoints.delete(NAME)
