"""What every place that serves models must do: on this machine, and managed endpoints of Azure ML on the loopback."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import pytest

from ml_platform.errors import DeploymentRefused, EndpointError
from ml_platform.gateways.endpoints import EndpointDeclaration
from ml_platform_tests.contract.cloud_world import CloudWorld, cloud_world
from ml_platform_tests.contract.local_world import BIASES, NAME, World, eventually, records
from ml_platform_tests.serving_directories import RECORD, probability

AnyWorld = World | CloudWorld


@pytest.fixture(params=["this machine", pytest.param("the cloud", marks=pytest.mark.cloud)])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[AnyWorld]:
    if request.param == "the cloud":
        with cloud_world(tmp_path, request.getfixturevalue("hosting_cloud")) as found:
            yield found
        return
    local = World(tmp_path)
    yield local
    local.endpoints.delete(NAME)


def test_a_deployed_model_answers_as_itself_and_is_verified(world: AnyWorld) -> None:
    state = world.endpoints.deploy(world.declaration("1"))
    assert (state.status, state.serving) == ("serving", world.declaration("1").deployments[0])
    assert state == world.endpoints.state(NAME)
    with world.client() as client:
        scores = client.score(records(3))
        one = client.score_one(RECORD)
    assert [p.probability for p in scores.predictions] == pytest.approx([probability(i, 1) for i in range(3)], abs=1e-6)
    assert (one.model_name, one.model_version, len(one.predictions)) == ("flights", "1", 1)


def test_deploying_the_same_again_changes_nothing(world: AnyWorld) -> None:
    first = world.endpoints.deploy(world.declaration("1"))
    before = world.changes()
    assert world.gateway().deploy(world.declaration("1")) == first
    assert world.changes() == before


def test_an_endpoint_that_is_not_there_is_told_as_such(world: AnyWorld) -> None:
    assert world.endpoints.state(NAME) is None
    world.endpoints.delete(NAME)
    for ask in (world.endpoints.keys, world.endpoints.scoring_uri):
        with pytest.raises(EndpointError, match="deploy it first"):
            ask(NAME)
    with pytest.raises(EndpointError, match="must begin with a letter"):
        world.endpoints.deploy(EndpointDeclaration("../x", world.declaration("1").deployments, {}, ("k",), "t"))


def test_a_swap_under_requests_loses_none_and_each_answer_is_of_the_version_it_names(world: AnyWorld) -> None:
    world.endpoints.deploy(world.declaration("1"))
    stop, versions = threading.Event(), set()

    def ask() -> int:
        count = 0
        with world.client() as client:
            while not stop.is_set():
                scores = client.score_one(RECORD)
                expected = probability(1.5, 1, BIASES[scores.model_version])
                assert scores.predictions[0].probability == pytest.approx(expected, abs=1e-6)
                versions.add(scores.model_version)
                count += 1
        return count

    with ThreadPoolExecutor(3) as pool:
        askers = [pool.submit(ask) for _ in range(3)]
        try:
            for version in ("2", "1", "2"):
                assert world.endpoints.deploy(world.declaration(version)).status == "serving"
        finally:
            stop.set()
        answered = sum(asker.result() for asker in askers)
    assert versions == {"1", "2"}
    world.endpoints.delete(NAME)
    assert len(world.logged("model_inputs")) == len(world.logged("model_outputs")) == answered


def test_a_first_model_that_cannot_be_served_is_an_error_that_a_later_deploy_mends(world: AnyWorld) -> None:
    world.register_torn("3")
    with pytest.raises(DeploymentRefused, match="version 3 .* cannot be served.*nothing is served"):
        world.endpoints.deploy(world.declaration("3"))
    assert world.endpoints.deploy(world.declaration("1")).status == "serving"


def test_a_model_that_cannot_be_read_leaves_the_old_one_declared_and_serving(world: AnyWorld) -> None:
    before = world.endpoints.deploy(world.declaration("1"))
    world.register_torn("3")
    with pytest.raises(DeploymentRefused, match="version 3 .* cannot be served.*version 1 of flights is still served"):
        world.endpoints.deploy(world.declaration("3"))
    eventually(lambda: world.endpoints.state(NAME) == before)
    with world.client() as client:
        assert client.score_one(RECORD).model_version == "1"


def test_racing_deploys_end_with_one_endpoint_that_serves_one_of_them(world: AnyWorld) -> None:
    with ThreadPoolExecutor(3) as pool:
        deploys = [pool.submit(world.gateway().deploy, world.declaration(version)) for version in "121"]
        states = [deploy.result() for deploy in deploys]
    assert len({state.scoring_uri for state in states}) == 1
    last = world.endpoints.state(NAME)
    assert last in states
    assert last is not None
    assert (last.status, last.serving) == ("serving", last.declared.deployments[0])
    with world.client() as client:
        assert client.score_one(RECORD).model_version == last.declared.deployments[0].model_version


def test_after_an_end_the_log_equals_the_answers_with_their_keys(world: AnyWorld) -> None:
    world.endpoints.deploy(world.declaration("1"))
    at = datetime(2013, 4, 1, 9, tzinfo=UTC)
    with world.client() as client:
        answers = {p.id: p.probability for p in client.score(records(50), time=at).predictions}
        client.score(records(2), probe=True)
    world.endpoints.delete(NAME)
    assert world.endpoints.state(NAME) is None
    inputs, outputs = world.logged("model_inputs"), world.logged("model_outputs")
    assert list(inputs.values()) == records(50)
    assert {name: row["probability"] for name, row in outputs.items()} == answers
    assert [row["flight_id"] for row in outputs.values()] == [row["flight_id"] for row in records(50)]


def test_shares_and_shadow_are_counted_and_only_what_callers_got_is_logged(world: AnyWorld) -> None:
    world.endpoints.deploy(world.both({"blue": 100}))
    got: set[str] = set()

    def ask(count: int) -> dict[str, int]:
        before = world.endpoints.measures(NAME)
        with world.client() as client:
            for _ in range(count):
                got.add(client.score_one(RECORD).predictions[0].id)
        wanted = {"blue": count, "green": 0} | expected

        def counted() -> dict[str, int]:
            now = world.endpoints.measures(NAME)
            return {name: counts.requests - before[name].requests for name, counts in now.items()}

        eventually(lambda: counted() == wanted)
        return counted()

    expected: dict[str, int] = {}
    ask(10)
    state = world.endpoints.deploy(world.both({"blue": 100}, {"green": 50}))
    assert (state.declared.traffic, state.declared.mirror, state.settled) == ({"blue": 100}, {"green": 50}, False)
    expected = {"green": 10}
    ask(20)
    state = world.endpoints.deploy(world.both({"blue": 80, "green": 20}))
    assert (state.declared.traffic, state.declared.mirror) == ({"blue": 80, "green": 20}, {})
    expected = {"blue": 16, "green": 4}
    ask(20)
    # The one that answered becomes a shadow: what it answered is logged, what it scores from now on is not.
    world.endpoints.deploy(world.both({"green": 100}))
    world.endpoints.deploy(world.both({"green": 100}, {"blue": 50}))
    expected = {"blue": 5, "green": 10}
    ask(10)
    world.endpoints.delete(NAME)
    assert set(world.logged("model_outputs")) == set(world.logged("model_inputs")) == got
