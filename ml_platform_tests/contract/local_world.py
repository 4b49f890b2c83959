"""What the tests of local endpoints share: endpoints with models of two versions, below a scratch folder."""

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

from ml_platform.gateways.endpoints import Deployment, EndpointDeclaration, LocalEndpoints, ScoringClient
from ml_platform.scoring.encoding import MODEL_FILE
from ml_platform.scoring.state import LOCK_FILE
from ml_platform_tests.serving_directories import RECORD, write_serving_directory

NAME = "delays"
BIASES = {"1": -1.0, "2": 1.0}


class World:
    """A root with endpoints, a log folder, and one serving directory for each of two versions."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.directory = folder / "endpoints" / NAME
        self.log = folder / "lake" / "modelDataCollector"
        self.endpoints = self.gateway()
        for version, bias in BIASES.items():
            write_serving_directory(folder / version, bias)

    def gateway(self, deadline: float = 30.0) -> LocalEndpoints:
        return LocalEndpoints(self.folder / "endpoints", self.log.as_uri(), deadline)

    def declaration(self, version: str, port: int = 0) -> EndpointDeclaration:
        deployment = Deployment("blue", "flights", version, str(self.folder / version))
        return self.of((deployment,), {"blue": 100}, port=port)

    def register_torn(self, version: str) -> None:
        """A version whose model cannot be read."""
        (write_serving_directory(self.folder / version) / MODEL_FILE).write_bytes(b"torn")

    def changes(self) -> dict[str, bytes]:
        """What is declared and observed: the same as long as nothing changes."""
        return {path.name: path.read_bytes() for path in self.directory.glob("*.json")}

    def both(self, traffic: dict[str, int], mirror: dict[str, int] | None = None) -> EndpointDeclaration:
        """Version 1 as blue beside version 2 as green."""
        colours = {"blue": "1", "green": "2"}
        deployments = tuple(Deployment(c, "flights", v, str(self.folder / v)) for c, v in colours.items())
        return self.of(deployments, traffic, mirror=mirror or {})

    def of(self, deployments: tuple[Deployment, ...], traffic: dict[str, int], **more: Any) -> EndpointDeclaration:
        keys = (("flight_id",), "sched_dep_at")
        return EndpointDeclaration(NAME, deployments, traffic, *keys, replay_clock=True, **more)

    def client(self) -> ScoringClient:
        return ScoringClient(self.endpoints.scoring_uri(NAME), self.endpoints.keys(NAME).primary)

    def pid(self) -> int:
        return int((self.directory / LOCK_FILE).read_text())

    def hosts(self) -> list[int]:
        command = [sys.executable, "-m", "ml_platform.scoring", str(self.directory)]
        found = [p for p in psutil.process_iter(["cmdline"]) if (p.info["cmdline"] or [])[:4] == command]
        return [p.pid for p in found if "--worker" not in p.info["cmdline"]]

    def workers(self) -> list[psutil.Process]:
        return psutil.Process(self.pid()).children()

    def kill(self) -> None:
        """End the host with its workers, so that nothing is left to start another."""
        host = psutil.Process(self.pid())
        for process in (*host.children(), host):
            process.kill()
        eventually(lambda: status(self) == "stopped")

    def logged(self, collection: str) -> dict[str, dict[str, Any]]:
        """The logged rows by prediction id; an id that stands twice fails."""
        rows: dict[str, dict[str, Any]] = {}
        for path in self.log.glob(f"{NAME}/*/{collection}/**/*.jsonl"):
            for line in map(json.loads, path.read_text().splitlines()):
                for index, row in enumerate(line["data"]):
                    assert rows.setdefault(f"{line['correlationid']}_{index}", row) is row
        return rows


def status(world: World) -> str:
    state = world.endpoints.state(NAME)
    return state.status if state else "absent"


def eventually(true: Callable[[], bool], seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it did not come true in time"
        time.sleep(0.02)


def records(count: int) -> list[dict[str, Any]]:
    return [RECORD | {"flight_id": f"flight-{i}", "distance": float(i)} for i in range(count)]
