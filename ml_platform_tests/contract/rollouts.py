"""An endpoint, here or in a loopback cloud, with a registry of small models behind it, and a load on it."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any, Protocol

import msgspec
from mlflow import MlflowClient

from ml_platform.core.gate import Decision, Evidence
from ml_platform.core.product_endpoint import RolloutSpec, WatchSpec
from ml_platform.gateways.endpoints import EndpointDeclaration, Endpoints, LocalEndpoints, ScoringClient
from ml_platform.gateways.registry import Registry, initialise
from ml_platform.stages.rollout import Outcome, Rollout
from ml_platform_tests.load import Outcomes
from ml_platform_tests.serving_directories import RECORD, write_serving_directory

NAME = "delays"
QUICK = RolloutSpec(shadow=WatchSpec(percent=50, seconds=0.4), canary=WatchSpec(percent=10, seconds=0.4))


def make_champion(client: MlflowClient, registry: Registry, model: str, serving: Path) -> str:
    """Register a serving directory as a version that the gate lets through, and promote it."""
    if registry.latest(model) is None:
        client.create_registered_model(model)
    experiment = client.get_experiment_by_name("training")
    assert experiment
    run = client.create_run(experiment.experiment_id)
    client.log_artifacts(run.info.run_id, str(serving), "model/data/serving")
    version = str(client.create_model_version(model, f"{run.info.artifact_uri}/model", run.info.run_id).version)
    before = registry.champion(model)
    evidence = Evidence(version, ["2013-03-18"], 1000, 200, {}, champion_version=before.version if before else None)
    registry.record_gate(model, version, Decision(True, "promote", ("because",), evidence))
    registry.promote(model, version)
    return version


class Place(Protocol):
    """Where endpoints are.

    `quick` is a policy whose stages see enough, `rate` a load (requests a second) that is carried beside the tests,
    `goes_back_within` how long (seconds) it may take from the start of a roll-out until the version before is back,
    `slow_width` what makes a model slow: where fewer requests come together, less is saved by scoring them at once.
    """

    quick: RolloutSpec
    rate: float
    goes_back_within: float
    workers: int
    slow_width: int

    def endpoints(self, folder: Path) -> Endpoints:
        """The gateway; the registry of the world keeps serving directories in `folder`/cache."""
        ...

    def register(self, model: str, version: str, serving: Path) -> None:
        """Let the place have a model version that was registered."""
        ...

    def lines(self, collection: str) -> list[dict[str, Any]]:
        """The lines of the inference log."""
        ...


class Here:
    """This machine."""

    quick, rate, goes_back_within = QUICK, 1500.0, 10.0
    workers, slow_width = 2, 900

    def __init__(self, folder: Path) -> None:
        self.log = folder / "log"

    def endpoints(self, folder: Path) -> Endpoints:
        """See Place.endpoints."""
        return LocalEndpoints(folder / "endpoints", self.log.as_uri())

    def register(self, model: str, version: str, serving: Path) -> None:
        """See Place.register: the registry is enough."""

    def lines(self, collection: str) -> list[dict[str, Any]]:
        """See Place.lines."""
        files = self.log.rglob(f"{collection}/**/*.jsonl")
        return [json.loads(line) for path in files for line in path.read_text().splitlines()]


class World:
    """Registered model versions, an endpoint for them, and the folder in which all of it is."""

    def __init__(self, folder: Path, place: Place | None = None) -> None:
        self.folder, self.place = folder, place or Here(folder)
        self.policy = self.place.quick
        uri = f"sqlite:///{folder}/mlflow.db"
        initialise(uri, "training", folder / "cache", (folder / "artifacts").as_uri())
        self.client = MlflowClient(uri)
        self.registry = Registry(self.client, folder / "cache")
        self.endpoints = self.place.endpoints(folder)
        keys = (("flight_id",), "sched_dep_at")
        self.endpoint = EndpointDeclaration(NAME, (), {}, *keys, workers=self.place.workers)

    def champion(self, bias: float = -1.0, serving: Path | None = None) -> str:
        """Register a version, of the model with that bias or of a serving directory, and make it the champion."""
        number = len(list(self.folder.glob("model-*"))) + 1
        directory = serving or write_serving_directory(self.folder / f"model-{number}", bias)
        version = make_champion(self.client, self.registry, NAME, directory)
        self.place.register(NAME, version, directory)
        return version

    def rollout(self, policy: RolloutSpec | None = None) -> Rollout:
        """The roll-out of this world."""
        keep = timedelta(days=1)
        return Rollout(self.endpoints, self.registry, self.endpoint, policy or self.policy, keep)

    def roll_out(self) -> Outcome:
        """Roll the champion out."""
        champion = self.registry.champion(NAME)
        assert champion
        return self.rollout().run(NAME, champion.version)

    def traffic(self) -> dict[str, int]:
        """The percent of the requests by model version."""
        state = self.endpoints.state(NAME)
        assert state
        versions = {each.name: each.model_version for each in state.declared.deployments}
        return {versions[name]: share for name, share in state.declared.traffic.items() if share}

    def versions(self) -> list[str]:
        """The model versions behind the endpoint."""
        state = self.endpoints.state(NAME)
        assert state
        return sorted(each.model_version for each in state.declared.deployments)

    def answering(self) -> str:
        """The version that answers one request."""
        with ScoringClient(self.endpoints.scoring_uri(NAME), self.endpoints.keys(NAME).primary) as client:
            return client.score_one(RECORD).model_version

    def evidence(self, version: str) -> dict[str, Any]:
        """What was recorded of a roll-out."""
        found = self.registry.get(NAME, version)
        path = self.client.download_artifacts(found.run_id, found.tags["rollout_evidence"], str(self.folder))
        return json.loads(Path(path).read_text())

    def logged(self, collection: str) -> list[str]:
        """The ids of the logged rows."""
        return [
            f"{line['correlationid']}_{n}" for line in self.place.lines(collection) for n in range(len(line["data"]))
        ]

    @contextmanager
    def under_load(self, rate: float | None = None) -> Iterator[Outcomes]:
        """Ask so often a second, in a process of its own; what became of it is there when the block ends."""
        rate = self.place.rate if rate is None else rate
        uri, key, file = self.endpoints.scoring_uri(NAME), self.endpoints.keys(NAME).primary, self.folder / "load.json"
        command = [sys.executable, "-m", "ml_platform_tests.load", uri, key, str(rate), str(file)]
        outcomes = Outcomes({}, {})
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            try:
                assert process.stdout and process.stdout.readline() == "asking\n"
                yield outcomes
            finally:
                process.send_signal(signal.SIGTERM)
                assert process.wait(30) == 0
        found = msgspec.json.decode(file.read_bytes(), type=Outcomes)
        outcomes.versions, outcomes.failed, outcomes.lost = found.versions, found.failed, found.lost
        outcomes.slowest = found.slowest


@contextmanager
def served(folder: Path, place: Place | None = None) -> Iterator[World]:
    """A world whose first champion is served; its endpoint is gone at the end."""
    world = World(folder, place)
    world.champion()
    world.roll_out()
    try:
        yield world
    finally:
        world.endpoints.delete(NAME)
