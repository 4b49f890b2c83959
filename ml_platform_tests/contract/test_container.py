"""The scoring server in a container: what it answers, logs and counts, on a directory and on blobs as the lake."""

import json
import subprocess
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import msgspec
import pytest

from ml_platform.scoring.container_contract import (
    BEHIND,
    BEHIND_VARIABLE,
    DECLARATION_VARIABLE,
    INFERENCE_LOG,
    MODEL_VARIABLE,
    ROLES_FILE,
    Contained,
    Roles,
    Told,
)
from ml_platform.scoring.headers import DEPLOYMENT_HEADER, PROBE_HEADER
from ml_platform.scoring.state import Deployment, EndpointDeclaration
from ml_platform_tests.contract.lakes import TestLake, blob_lake, local_lake
from ml_platform_tests.contract.local_world import NAME, eventually
from ml_platform_tests.emulators.containers import Container, start_container
from ml_platform_tests.serving_directories import RECORD, write_serving_directory

BLOBS = pytest.mark.parametrize("world", ["blobs"], indirect=True)


@dataclass
class World:
    """A lake, a model, and the containers that were started."""

    folder: Path
    lake: TestLake
    containers: list[Container] = field(default_factory=list)

    def start(self, role: str = "serving", wait: bool = True, **more: str) -> Container:
        self.set_role(role)
        number = len(self.containers)
        endpoint = EndpointDeclaration(
            NAME, (Deployment("blue", "flights", "1", ""),), {"blue": 100}, ("flight_id",), "sched_dep_at", workers=2
        )
        environment = {
            **self.lake.environment,
            BEHIND_VARIABLE: BEHIND,
            DECLARATION_VARIABLE: msgspec.json.encode(Contained(endpoint, self.lake.uri)).decode(),
            MODEL_VARIABLE: str(self.folder / "model"),
            **more,
        }
        container = start_container(environment, self.folder / f"container-{number}.log")
        self.containers.append(container)
        if wait:
            eventually(lambda: self.ready(container), 30)
        return container

    def ready(self, container: Container) -> bool:
        assert container.running, container.tail()
        try:
            return httpx.get(f"{container.address}/health/ready", timeout=2).is_success
        except httpx.TransportError:
            return False

    def set_role(self, role: str) -> int:
        generation = time.time_ns()
        roles = Roles(generation, ("blue",) if role == "serving" else ())
        self.lake.write(f"endpoints/{NAME}/{ROLES_FILE}", msgspec.json.encode(roles))
        return generation

    def told(self) -> list[Told]:
        names = self.lake.names(f"endpoints/{NAME}/measures/blue/")
        return [msgspec.json.decode(self.lake.read(name), type=Told) for name in names]

    def requests(self, role: str) -> int:
        """Requests that all instances have counted."""
        return sum(
            getattr(each.measures, role)["blue/1"].requests for each in self.told() if getattr(each.measures, role)
        )

    def logged(self, collection: str) -> list[str]:
        names = self.lake.names(f"{INFERENCE_LOG}/{NAME}/blue/{collection}/")
        lines = (json.loads(line) for name in names for line in self.lake.read(name).splitlines())
        return [f"{line['correlationid']}_{n}" for line in lines for n in range(len(line["data"]))]


@pytest.fixture(params=["directory", "blobs"])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    write_serving_directory(tmp_path / "model/model/data/serving")
    with (local_lake if request.param == "directory" else blob_lake)(tmp_path) as lake:
        world = World(tmp_path, lake)
        try:
            yield world
        finally:
            for container in world.containers:
                container.kill()


def ask(container: Container, name: str, count: int = 1, headers: Mapping[str, str] | None = None) -> list[str]:
    """Ask so many records; the ids of their predictions."""
    sent = {"x-request-id": name, **(headers or {})}
    body = {"records": [RECORD] * count}
    answer = httpx.post(f"{container.address}/score", json=body, headers=sent, timeout=10)
    assert answer.status_code == 200, answer.text
    return [each["id"] for each in answer.json()["predictions"]]


def test_it_answers_without_a_key_and_logs_each_answer_after_a_drain(world: World) -> None:
    container = world.start()
    with ThreadPoolExecutor(4) as pool:
        ids = [each for found in pool.map(lambda n: ask(container, f"r{n}", 2), range(40)) for each in found]
    container.terminate()
    assert container.process.wait(20) == 0
    for collection in ("model_inputs", "model_outputs"):
        assert sorted(world.logged(collection)) == sorted(ids)
    assert world.requests("live") == 40


def test_what_all_instances_count_is_summed_and_outlives_them(world: World) -> None:
    containers = [world.start(wait=False) for _ in range(2)]
    for n, container in enumerate(containers):
        eventually(lambda container=container: world.ready(container), 30)
        ask(container, f"r{n}")
    eventually(lambda: world.requests("live") == 2)
    containers[0].terminate()
    containers[0].process.wait(20)
    ask(containers[1], "last")
    eventually(lambda: world.requests("live") == 3)


def test_after_sigkill_the_log_can_be_read_up_to_the_last_batch(world: World) -> None:
    container = world.start()
    ids = ask(container, "first", 3)
    eventually(lambda: sorted(world.logged("model_outputs")) == ids)
    ask(container, "lost", 3)
    container.kill()
    assert set(ids) <= set(world.logged("model_inputs")) <= {*ids, *(f"lost_{n}" for n in range(3))}


def test_a_mirrored_request_is_counted_and_not_logged_and_one_that_is_pinned_is(world: World) -> None:
    container = world.start("shadow")
    eventually(lambda: [each.roles >= 0 for each in world.told()] == [True])
    ask(container, "mirrored")
    pinned = ask(container, "pinned", headers={DEPLOYMENT_HEADER: "blue"})
    ask(container, "probe", headers={DEPLOYMENT_HEADER: "blue", PROBE_HEADER: "1"})
    eventually(lambda: (world.requests("shadow"), world.requests("live")) == (1, 1))
    eventually(lambda: world.logged("model_outputs") == pinned)
    generation = world.set_role("serving")
    eventually(lambda: [each.roles for each in world.told()] == [generation])
    ids = ask(container, "served")
    container.terminate()
    container.process.wait(20)
    assert sorted(world.logged("model_outputs")) == sorted([*pinned, *ids])


@BLOBS
def test_a_lake_that_does_not_answer_holds_up_nobody_and_gets_all_lines_afterwards(world: World) -> None:
    container = world.start()
    before = ask(container, "before")
    eventually(lambda: world.logged("model_outputs") == before)
    with world.lake.down():
        deadline, during = time.monotonic() + 5, []
        while time.monotonic() < deadline:
            began = time.monotonic()
            during += ask(container, f"during-{len(during)}")
            assert time.monotonic() - began < 1
    eventually(lambda: sorted(world.logged("model_inputs")) == sorted([*before, *during]), 30)
    eventually(lambda: sorted(world.logged("model_outputs")) == sorted([*before, *during]), 30)


@BLOBS
def test_what_it_answers_before_it_knows_its_role_is_logged_by_the_role_that_it_has(world: World) -> None:
    logged: dict[str, list[str]] = {}
    for role in ("serving", "shadow"):
        with world.lake.down():
            logged[role] = ask(world.start(role), f"early-{role}")
        eventually(lambda: len(world.told()) == len(world.containers), 30)
    eventually(lambda: world.logged("model_outputs") == logged["serving"], 30)


def test_without_being_told_that_a_front_end_checks_keys_it_does_not_start(world: World) -> None:
    container = world.start(wait=False, **{BEHIND_VARIABLE: ""})
    assert container.process.wait(20) != 0
    assert "without a key" in container.tail()


def test_a_model_that_cannot_be_served_ends_it_with_the_reason(world: World) -> None:
    (world.folder / "model/model/data/serving/model.onnx").write_bytes(b"torn")
    container = world.start(wait=False)
    try:
        assert container.process.wait(30) != 0
    except subprocess.TimeoutExpired:
        pytest.fail(container.tail())
    assert "is refused" in container.tail()
    assert "no ONNX model" in container.tail()
