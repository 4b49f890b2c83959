"""What every place that serves models must do, and what the host on this machine does besides."""

import os
import signal
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import httpx
import msgspec
import pytest

from ml_platform.errors import EndpointError
from ml_platform.gateways.endpoints import Autoscale, Keys, ScoringClient
from ml_platform.scoring.encoding import MODEL_FILE
from ml_platform.scoring.state import KEYS_FILE, LOCK_FILE, write_state
from ml_platform_tests.contract.local_world import NAME, World, eventually, records, status
from ml_platform_tests.serving_directories import RECORD, write_serving_directory


def test_a_host_keeps_its_declared_workers_where_a_product_declares_autoscaling(world: World) -> None:
    declared = msgspec.structs.replace(world.declaration("1"), workers=2, autoscale=Autoscale(3, 5))
    state = world.endpoints.deploy(declared)
    assert (state.status, state.declared, len(world.workers())) == ("serving", declared, 2)


@pytest.mark.parametrize("fault", ["absent", "torn", "no probability", "other inputs"])
def test_a_broken_model_leaves_the_old_one_declared_and_serving_and_is_told(world: World, fault: str) -> None:
    world.endpoints.deploy(world.declaration("1"))
    path = world.folder / "2" / MODEL_FILE
    if fault == "absent":
        path.unlink()
    elif fault == "torn":
        path.write_bytes(path.read_bytes()[:100])
    elif fault == "no probability":
        write_serving_directory(world.folder / "nan", float("nan"))
        path.write_bytes((world.folder / "nan" / MODEL_FILE).read_bytes())
    else:
        signature = path.with_name("signature.json")
        signature.write_text(signature.read_text().replace('"distance"', '"flight_id"'))
    with pytest.raises(EndpointError, match="version 2 .* cannot be served.*version 1 of flights is still served"):
        world.endpoints.deploy(world.declaration("2"))
    eventually(lambda: status(world) == "serving")
    state = world.endpoints.state(NAME)
    assert state is not None
    assert state.declared == world.declaration("1")
    with world.client() as client:
        assert client.score_one(RECORD).model_version == "1"


def test_a_host_that_restarts_after_a_broken_deploy_serves_the_last_good_one(world: World) -> None:
    world.endpoints.deploy(world.declaration("1"))
    (world.folder / "2" / MODEL_FILE).unlink()
    with pytest.raises(EndpointError):
        world.endpoints.deploy(world.declaration("2"))
    world.kill()
    assert world.endpoints.deploy(world.declaration("1")).status == "serving"
    with world.client() as client:
        assert client.score_one(RECORD).model_version == "1"


def test_a_serving_directory_that_changed_after_it_was_loaded_is_not_verified(world: World) -> None:
    world.endpoints.deploy(world.declaration("1"))
    (world.folder / "1" / MODEL_FILE).write_bytes((world.folder / "2" / MODEL_FILE).read_bytes())
    with pytest.raises(EndpointError, match="changed after it was loaded"):
        world.endpoints.deploy(world.declaration("1"))


def test_after_sigkill_a_deploy_starts_the_host_again_with_the_same_port_and_keys(world: World) -> None:
    first = world.endpoints.deploy(world.declaration("1"))
    keys = world.endpoints.keys(NAME)
    world.kill()
    assert world.gateway().deploy(world.declaration("1")) == first
    assert world.endpoints.keys(NAME) == keys
    with world.client() as client:
        assert client.score_one(RECORD).model_version == "1"


def test_after_sigkill_the_log_holds_every_answer_up_to_the_last_batch(world: World) -> None:
    world.endpoints.deploy(world.declaration("1"))
    with world.client() as client:
        answers = {
            p.id: p.probability for i in range(20) for p in client.score(records(3), request_id=f"r{i}").predictions
        }
        eventually(lambda: len(world.logged("model_outputs")) == len(answers))
        client.score_one(RECORD, request_id="last")
    world.kill()
    outputs = world.logged("model_outputs")
    outputs.pop("last_0", None)
    assert {name: row["probability"] for name, row in outputs.items()} == answers
    assert world.logged("model_inputs").keys() >= outputs.keys()


def test_after_a_drain_the_log_equals_the_answers_with_their_keys(world: World) -> None:
    world.endpoints.deploy(world.declaration("1"))
    at = datetime(2013, 4, 1, 9, tzinfo=UTC)
    with world.client() as client:
        answers = {p.id: p.probability for p in client.score(records(50), time=at).predictions}
    world.endpoints.delete(NAME)
    inputs, outputs = world.logged("model_inputs"), world.logged("model_outputs")
    assert list(inputs.values()) == records(50)
    assert {name: row["probability"] for name, row in outputs.items()} == answers
    assert [row["flight_id"] for row in outputs.values()] == [row["flight_id"] for row in records(50)]
    folders = {path.parent.relative_to(world.log / NAME / "blue") for path in world.log.rglob("*.jsonl")}
    assert folders == {Path("model_inputs/2013/04/01/09"), Path("model_outputs/2013/04/01/09")}


def test_the_host_outlives_the_death_of_the_process_group_that_deployed_it(world: World) -> None:
    script = f"""
import signal
from pathlib import Path
from ml_platform.gateways.endpoints import Deployment, EndpointDeclaration, LocalEndpoints
deployment = Deployment("blue", "flights", "1", {str(world.folder / "1")!r})
endpoints = LocalEndpoints(Path({str(world.folder / "endpoints")!r}), {world.log.as_uri()!r})
endpoints.deploy(EndpointDeclaration({NAME!r}, (deployment,), {{"blue": 100}}, ("flight_id",), "sched_dep_at"))
print("deployed", flush=True)
signal.pause()
"""
    deployer = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, start_new_session=True)
    assert deployer.stdout is not None
    assert deployer.stdout.readline() == b"deployed\n"
    os.killpg(deployer.pid, signal.SIGKILL)
    deployer.communicate()
    with world.client() as client:
        assert client.score_one(RECORD).model_version == "1"
    pid = world.pid()
    assert world.endpoints.deploy(world.declaration("2")).status == "serving"
    assert world.pid() == pid


def test_racing_deploys_end_with_one_host_that_serves_one_of_them(world: World) -> None:
    with ThreadPoolExecutor(4) as pool:
        deploys = [pool.submit(world.gateway().deploy, world.declaration(version)) for version in "1212"]
        states = [deploy.result() for deploy in deploys]
    assert len({state.scoring_uri for state in states}) == 1
    assert world.hosts() == [world.pid()]
    last = world.endpoints.state(NAME)
    assert last is not None
    assert (last.status, last.serving) == ("serving", last.declared.deployments[0])


def test_a_stale_pid_that_now_belongs_to_another_process_is_never_killed(world: World) -> None:
    world.endpoints.deploy(world.declaration("1"))
    world.kill()
    with subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"]) as bystander:
        try:
            (world.directory / LOCK_FILE).write_text(str(bystander.pid))
            world.endpoints.delete(NAME)
            assert bystander.poll() is None
        finally:
            bystander.kill()


def test_a_port_that_another_program_has_is_named_and_a_declared_port_is_moved_to(world: World) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(EndpointError, match=f"port {port} of 127.0.0.1 cannot be had"):
            world.endpoints.deploy(world.declaration("1", port))
    world.endpoints.deploy(world.declaration("1"))
    moved = world.endpoints.deploy(world.declaration("1", port))
    assert moved.scoring_uri == f"http://127.0.0.1:{port}/score"
    assert len(world.hosts()) == 1


def test_keys_rotate_when_their_file_is_replaced_and_a_bad_file_changes_nothing(world: World) -> None:
    world.endpoints.deploy(world.declaration("1"))
    uri, old = world.endpoints.scoring_uri(NAME), world.endpoints.keys(NAME)
    assert (world.directory / KEYS_FILE).stat().st_mode & 0o777 == 0o600

    def opens(key: str) -> bool:
        return httpx.post(uri, json=RECORD, headers={"authorization": f"Bearer {key}"}, trust_env=False).is_success

    assert opens(old.primary)
    assert opens(old.secondary)
    write_state(world.directory / KEYS_FILE, Keys("new-key", old.secondary))
    eventually(lambda: opens("new-key"))
    assert not opens(old.primary)
    assert opens(old.secondary)
    (world.directory / KEYS_FILE).write_text("{}")
    eventually(lambda: "the keys stay as they were" in (world.directory / "host.log").read_text())
    assert opens("new-key")
    written = (world.directory / "host.log").read_text()
    assert not [key for key in ("new-key", old.primary, old.secondary) if key in written]


def test_an_oversized_body_is_refused_over_the_wire(world: World) -> None:
    world.endpoints.deploy(world.declaration("1"))
    headers = {"authorization": f"Bearer {world.endpoints.keys(NAME).primary}", "content-type": "application/json"}
    uri = world.endpoints.scoring_uri(NAME)
    answer = httpx.post(uri, content=b" " * 3_000_000, headers=headers, trust_env=False)
    assert answer.status_code == 413
    with world.client() as client:
        assert client.score_one(RECORD).model_version == "1"
        with pytest.raises(EndpointError, match="422.*distance"):
            client.score_one(RECORD | {"distance": "far"})
    with ScoringClient(uri, "wrong") as client, pytest.raises(EndpointError, match="401"):
        client.score_one(RECORD)
