"""Managed endpoints of Azure ML: their front end, and deploys that meet crashes, other people and faults."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from azure.core.exceptions import HttpResponseError

from ml_platform.errors import DeploymentRefused, EndpointError
from ml_platform.gateways.endpoints import ScoringClient
from ml_platform.gateways.endpoints.azureml_deployment import Hosting, contained_of
from ml_platform.gateways.endpoints.azureml_service import Service
from ml_platform_tests.contract.cloud import SCORING_ENVIRONMENT, Loopback
from ml_platform_tests.contract.cloud_world import CloudWorld, changes_of, cloud_world
from ml_platform_tests.contract.golden import assert_calls
from ml_platform_tests.contract.local_world import NAME, eventually
from ml_platform_tests.loopback_cloud import WORKSPACE
from ml_platform_tests.serving_directories import RECORD, write_failing_directory, write_slow_directory

pytestmark = pytest.mark.cloud

AZURE_NAME = Hosting(WORKSPACE, SCORING_ENVIRONMENT).endpoint_name(NAME)


@pytest.fixture
def world(tmp_path: Path, hosting_cloud: Loopback) -> Iterator[CloudWorld]:
    with cloud_world(tmp_path, hosting_cloud) as found:
        yield found


REST = ("error", "drop")


class Killed(BaseException):
    """Stands for the end of the process at a place."""


def post(world: CloudWorld, content: Any = RECORD, **headers: str) -> httpx.Response:
    key = world.endpoints.keys(NAME).primary
    sent = {"authorization": f"Bearer {key}", **{name.replace("_", "-"): value for name, value in headers.items()}}
    return httpx.post(world.endpoints.scoring_uri(NAME), json=content, headers=sent, timeout=30)


def test_the_front_end_checks_keys_pins_and_translates_what_the_container_answers(world: CloudWorld) -> None:
    failing = write_failing_directory(world.models / "flights" / "3")
    world.register("3", failing)
    blue, green = world.declaration("1").deployments[0], world.declaration("3", "green").deployments[0]
    world.endpoints.deploy(world.of((blue, green), {"blue": 100}))
    assert post(world, authorization="Bearer wrong").status_code == 401
    answer = post(world, x_request_id="abc")
    assert (answer.status_code, answer.headers["x-request-id"]) == (200, "abc")
    assert answer.headers["azureml-model-deployment"] == "blue"
    failed = post(world, azureml_model_deployment="green")
    assert (failed.status_code, failed.headers["ms-azureml-model-error-statuscode"]) == (424, "500")
    refused = post(world, RECORD | {"distance": "far"})
    assert (refused.status_code, refused.headers["ms-azureml-model-error-statuscode"]) == (424, "422")
    assert "distance" in refused.json()["message"]
    assert post(world, azureml_model_deployment="red").status_code == 404
    world.endpoints.deploy(world.of((blue,), {}))
    assert post(world).status_code == 404
    world.cloud.client().online_endpoints.begin_regenerate_keys(AZURE_NAME, key_type="primary").result()
    assert post(world, azureml_model_deployment="blue").status_code == 200


def test_the_calls_of_each_flow_are_as_they_were(world: CloudWorld, request: pytest.FixtureRequest) -> None:
    world.cloud.arm.clear()
    world.endpoints.deploy(world.declaration("1"))
    assert_calls(world.cloud.arm, "endpoint_first", request)
    world.endpoints.deploy(world.both({"blue": 100}))
    for flow, declared in {
        "endpoint_shadow": world.both({"blue": 100}, {"green": 50}),
        "endpoint_canary": world.both({"blue": 90, "green": 10}),
        "endpoint_removal": world.declaration("2", "green"),
    }.items():
        world.cloud.arm.clear()
        world.endpoints.deploy(declared)
        assert_calls(world.cloud.arm, flow, request)


def test_more_requests_at_once_than_declared_are_sent_away(world: CloudWorld) -> None:
    slow = write_slow_directory(world.models / "flights" / "3")
    world.register("3", slow)
    declared = msgspec.structs.replace(world.declaration("3"), max_concurrent_requests=1)
    world.endpoints.deploy(declared)
    with ThreadPoolExecutor(16) as pool:
        statuses = {each.status_code for each in pool.map(lambda _: post(world), range(48))}
    assert 429 in statuses
    assert statuses <= {200, 429, 424}


def test_a_deploy_that_is_killed_at_any_change_is_finished_by_the_next(
    world: CloudWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Endpoint, deployment, traffic; the deployment beside it, its mirror; the share, and the removal."""
    wait: Callable[..., None] = Service._wait
    steps = [
        world.declaration("1"),
        world.both({"blue": 100}, {"green": 50}),
        world.both({"blue": 50, "green": 50}),
        world.declaration("2", "green"),
    ]
    killed = 0
    for declared in steps:
        while True:
            asked: list[str] = []

            def dies(service: Service, what: str, poller: Any, asked: list[str] = asked) -> None:
                # The service has been asked and is at work; nobody waits for it any more.
                asked.append(what)
                raise Killed(what)

            monkeypatch.setattr(Service, "_wait", dies)
            try:
                state = world.gateway().deploy(declared)
                break
            except Killed:
                killed += 1
            monkeypatch.setattr(Service, "_wait", wait)
        monkeypatch.setattr(Service, "_wait", wait)
        assert (state.status, state.declared, state.refused) == ("serving", declared, {})
    assert killed >= 7
    with world.client() as client:
        assert client.score_one(RECORD).model_version == "2"
    assert {each.name for each in world.cloud.client().online_deployments.list(AZURE_NAME)} == {"green"}


def test_a_deployment_that_somebody_is_making_is_waited_for_and_looked_at_again(world: CloudWorld) -> None:
    world.endpoints.deploy(world.declaration("1"))
    hosting, declared = Hosting(WORKSPACE, SCORING_ENVIRONMENT), world.both({"blue": 100})
    green = hosting.deployment(declared, declared.deployments[1], world.cloud.lake, "")
    world.cloud.arm.clear()
    making = world.cloud.client().online_deployments.begin_create_or_update(green)
    state = world.endpoints.deploy(declared)
    making.result()
    assert (state.status, state.declared) == ("serving", declared)
    assert changes_of(world.cloud).count("PUT green") == 1


def test_a_failed_deployment_is_seen_and_replaced(world: CloudWorld) -> None:
    world.endpoints.deploy(world.declaration("1"))
    hosting, declared = Hosting(WORKSPACE, SCORING_ENVIRONMENT), world.both({"blue": 100})
    broken = hosting.deployment(declared, declared.deployments[1], world.cloud.lake, "")
    broken.environment_variables = {**(broken.environment_variables or {}), "ML_PLATFORM_SCORING_BEHIND": ""}
    with pytest.raises(HttpResponseError, match="UserContainerCrashed"):
        world.cloud.client().online_deployments.begin_create_or_update(broken).wait()
    state = world.endpoints.state(NAME)
    assert state is not None
    assert (state.status, list(state.refused)) == ("refused", ["green"])
    assert world.endpoints.deploy(declared).status == "serving"


def test_a_container_that_ends_for_another_reason_than_its_model_sends_no_version_back(
    world: CloudWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = world.endpoints.deploy(world.declaration("1"))
    with monkeypatch.context() as wrong:
        wrong.setattr("ml_platform.gateways.endpoints.azureml_deployment.BEHIND", "nothing")
        with pytest.raises(EndpointError, match="(?s)'green' could not be started.*without a key") as error:
            # Only the new one is to be made.
            wrong.setattr("ml_platform.gateways.endpoints.azureml_deploying.is_equal", lambda *_: True)
            world.endpoints.deploy(world.both({"blue": 100}))
    assert not isinstance(error.value, DeploymentRefused)
    assert world.endpoints.state(NAME) == before


@pytest.mark.parametrize("fault", ["throttle", "drop_answer", *(pytest.param(f, marks=pytest.mark.loop) for f in REST)])
def test_faults_of_the_service_that_pass_leave_one_endpoint_as_declared(world: CloudWorld, fault: str) -> None:
    for method in ("PUT", "GET", "POST", "DELETE"):
        world.cloud.arm.fault(fault, method, "/onlineEndpoints", 1, 1)
    world.endpoints.deploy(world.declaration("1"))
    state = world.endpoints.deploy(world.declaration("2", "green"))
    assert (state.status, state.declared) == ("serving", world.declaration("2", "green"))
    assert {each.name for each in world.cloud.client().online_deployments.list(AZURE_NAME)} == {"green"}


def test_what_is_refused_for_good_is_told_with_the_remedy(world: CloudWorld) -> None:
    world.cloud.arm.fault("forbidden", "PUT", "/onlineEndpoints", 1)
    with pytest.raises(EndpointError, match="AuthorizationFailed.*role AzureML Data Scientist"):
        world.endpoints.deploy(world.declaration("1"))
    with pytest.raises(EndpointError, match="at most 50 percent"):
        world.endpoints.deploy(world.both({"blue": 100}, {"green": 60}))
    with pytest.raises(EndpointError, match="must begin with a letter"):
        world.endpoints.deploy(msgspec.structs.replace(world.declaration("1"), name="../x"))


def test_instances_that_cannot_write_the_lake_get_no_traffic_and_the_reason_is_told(
    world: CloudWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ml_platform.gateways.endpoints.azureml_shares.FOLLOW_SECONDS", 3.0)
    elsewhere = world.cloud.lake.replace("lake@", "nowhere@")
    gateway = world.gateway()
    monkeypatch.setattr(
        "ml_platform.gateways.endpoints.azureml_deployment.contained_of",
        lambda declared, deployment, lake: contained_of(declared, deployment, elsewhere),
    )
    with pytest.raises(EndpointError, match="0 of 1 instances follow their role in the lake"):
        gateway.deploy(world.declaration("1"))
    state = world.endpoints.state(NAME)
    assert state is not None
    assert state.serving is None


def test_two_instances_answer_under_load_and_each_answer_is_logged_once_while_shares_change(world: CloudWorld) -> None:
    endpoints = world.gateway(instances=2)
    endpoints.deploy(world.both({"blue": 100}))
    stop, uri, key = [False], endpoints.scoring_uri(NAME), endpoints.keys(NAME).primary

    def ask() -> list[str]:
        found: list[str] = []
        with ScoringClient(uri, key) as client:
            while not stop[0]:
                found.append(client.score_one(RECORD).predictions[0].id)
        return found

    with ThreadPoolExecutor(4) as pool:
        askers = [pool.submit(ask) for _ in range(4)]
        try:
            endpoints.deploy(world.both({"blue": 100}, {"green": 50}))
            endpoints.deploy(world.both({"blue": 50, "green": 50}))
            endpoints.deploy(world.both({"green": 100}, {"blue": 50}))
            eventually(lambda: endpoints.measures(NAME)["blue"].requests > 0)
        finally:
            stop[0] = True
        answered = [each for asker in askers for each in asker.result()]
    endpoints.delete(NAME)
    for collection in ("model_inputs", "model_outputs"):
        assert sorted(world.logged(collection)) == sorted(answered)
