"""Endpoints that Azure Monitor scales: who is scaled, how many instances stay, and that nothing is left over."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import msgspec
import pytest

from ml_platform.errors import DeploymentRefused, EndpointError
from ml_platform.gateways.endpoints import Autoscale, EndpointDeclaration
from ml_platform.gateways.endpoints.azureml_autoscale import AutoscaleSettings
from ml_platform.gateways.endpoints.azureml_deployment import Hosting
from ml_platform_tests.contract.cloud import SCORING_ENVIRONMENT, Loopback
from ml_platform_tests.contract.cloud_world import CloudWorld, changes_of, cloud_world
from ml_platform_tests.contract.golden import assert_calls
from ml_platform_tests.contract.local_world import NAME, eventually
from ml_platform_tests.loopback_cloud import WORKSPACE
from ml_platform_tests.serving_directories import RECORD

pytestmark = pytest.mark.cloud

AZURE_NAME = Hosting(WORKSPACE, SCORING_ENVIRONMENT).endpoint_name(NAME)
SCALE = Autoscale(min_instances=1, max_instances=3)
BUSY, IDLE = 95, 5


class Killed(BaseException):
    """Stands for the end of the process at a place."""


@pytest.fixture
def world(tmp_path: Path, hosting_cloud: Loopback) -> Iterator[CloudWorld]:
    with cloud_world(tmp_path, hosting_cloud) as found:
        yield found


def scaled(declared: EndpointDeclaration, by: Autoscale | None = SCALE) -> EndpointDeclaration:
    return msgspec.structs.replace(declared, autoscale=by)


def settings(world: CloudWorld) -> dict[str, dict[str, Any]]:
    """The properties of the settings that are there, by the deployment that they scale."""
    every = [each["properties"] for each in world.cloud.arm.autoscale_settings()]
    return {each["targetResourceUri"].rsplit("/", 1)[-1]: each for each in every}


def counts(world: CloudWorld) -> dict[str, int]:
    """How many instances each deployment has."""
    return {each.name: each.instance_count for each in world.cloud.client().online_deployments.list(AZURE_NAME)}


def load(world: CloudWorld, cpu: float, deployment: str = "blue") -> int:
    return world.cloud.arm.load(AZURE_NAME, deployment, cpu)


def test_the_deployment_that_answers_is_scaled_between_its_bounds_by_its_load(
    world: CloudWorld, request: pytest.FixtureRequest
) -> None:
    declared = scaled(world.declaration("1"))
    world.cloud.arm.clear()
    state = world.endpoints.deploy(declared)
    assert_calls(world.cloud.arm, "endpoint_autoscaled", request)
    assert (state.status, state.declared) == ("serving", declared)
    profile = settings(world)["blue"]["profiles"][0]
    assert profile["capacity"] == {"minimum": "1", "maximum": "3", "default": "1"}
    told = [(each["metricTrigger"], each["scaleAction"]) for each in profile["rules"]]
    assert [
        (
            when["metricName"],
            when["operator"],
            when["threshold"],
            when["timeWindow"],
            then["direction"],
            then["cooldown"],
        )
        for when, then in told
    ] == [
        ("CpuUtilizationPercentage", "GreaterThan", 70, "PT5M", "Increase", "PT10M"),
        ("CpuUtilizationPercentage", "LessThan", 30, "PT5M", "Decrease", "PT10M"),
    ]
    assert [load(world, cpu) for cpu in (BUSY, 50, BUSY, BUSY, IDLE)] == [2, 2, 3, 3, 2]
    with world.client() as client:
        assert client.score_one(RECORD).model_version == "1"


def test_our_next_deploy_keeps_the_scaled_count_and_changes_nothing(world: CloudWorld) -> None:
    declared = scaled(world.declaration("1"))
    world.endpoints.deploy(declared)
    assert load(world, BUSY) == 2
    world.cloud.arm.clear()
    assert world.gateway().deploy(declared).declared == declared
    assert changes_of(world.cloud) == []
    # What must be written anew keeps the count too.
    world.endpoints.deploy(msgspec.structs.replace(declared, max_concurrent_requests=7))
    assert counts(world) == {"blue": 2}


def test_a_roll_out_begins_with_as_many_instances_and_scales_who_answers_most(world: CloudWorld) -> None:
    world.endpoints.deploy(scaled(world.declaration("1")))
    assert load(world, BUSY) == 2
    steps = [
        (world.both({"blue": 100}, {"green": 50}), {"blue"}),
        (world.both({"blue": 90, "green": 10}), {"blue"}),
        (world.both({"blue": 50, "green": 50}), set()),
        (world.both({"green": 100}), {"green"}),
    ]
    for declared, who in steps:
        world.endpoints.deploy(scaled(declared))
        assert (set(settings(world)), counts(world)) == (who, {"blue": 2, "green": 2})
    # The one that is kept is not scaled in: it can take all requests back.
    assert [load(world, IDLE, "blue"), load(world, IDLE, "green")] == [2, 1]
    world.endpoints.deploy(scaled(world.declaration("1")))
    assert (set(settings(world)), counts(world)) == ({"blue"}, {"blue": 2})


def test_a_version_that_is_refused_leaves_the_old_one_scaled_and_nothing_else(world: CloudWorld) -> None:
    world.endpoints.deploy(scaled(world.declaration("1")))
    world.register_torn("3")
    torn = msgspec.structs.replace(
        world.both({"blue": 100}),
        deployments=(world.declaration("1").deployments[0], world.declaration("3", "green").deployments[0]),
    )
    with pytest.raises(DeploymentRefused):
        world.endpoints.deploy(scaled(torn))
    assert (set(settings(world)), counts(world)) == ({"blue"}, {"blue": 1})


def test_bounds_change_without_a_deployment_and_without_them_the_count_is_fixed(world: CloudWorld) -> None:
    world.endpoints.deploy(scaled(world.declaration("1")))
    world.cloud.arm.clear()
    wider = Autoscale(2, 3, scale_out_cpu_percent=80, cooldown_minutes=30)
    world.endpoints.deploy(scaled(world.declaration("1"), wider))
    assert changes_of(world.cloud) == [f"PUT {AZURE_NAME}", f"PUT {AZURE_NAME}-blue"]
    assert settings(world)["blue"]["profiles"][0]["capacity"]["minimum"] == "2"
    state = world.endpoints.deploy(world.declaration("1"))
    assert (state.declared.autoscale, settings(world), counts(world)) == (None, {}, {"blue": 1})
    world.cloud.arm.clear()
    world.endpoints.deploy(world.declaration("1"))
    assert not [each for each in world.cloud.arm.record()["calls"] if "autoscale" in each["path"]]


def test_a_deploy_that_is_killed_at_any_change_of_a_setting_is_finished_by_the_next(
    world: CloudWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before each change of a setting, and of the endpoint or a deployment: the guard is asked before it."""
    guard: Callable[[Any], None] = AutoscaleSettings.__dict__["_told"]
    steps = [
        scaled(world.declaration("1")),
        scaled(world.both({"green": 100})),
        scaled(world.declaration("2", "green")),
        world.declaration("2", "green"),
    ]
    left = [{"blue"}, {"green"}, {"green"}, set()]
    killed = 0
    for declared, who in zip(steps, left, strict=True):
        for place in range(20):
            calls = 0

            def dies(found: AutoscaleSettings, what: str, place: int = place) -> Any:
                nonlocal calls
                calls += 1
                if calls > place:
                    raise Killed(what)
                return guard(found, what)  # pyright: ignore[reportCallIssue]

            monkeypatch.setattr(AutoscaleSettings, "_told", dies)
            try:
                world.gateway().deploy(declared)
                break
            except Killed:
                killed += 1
            finally:
                monkeypatch.setattr(AutoscaleSettings, "_told", guard)
        assert world.gateway().deploy(declared).declared == declared
        assert set(settings(world)) == who
    assert killed >= 6


def test_a_setting_that_somebody_made_gives_way_to_the_one_that_is_declared(world: CloudWorld) -> None:
    world.endpoints.deploy(world.declaration("1"))
    by_hand = AutoscaleSettings(WORKSPACE, AZURE_NAME)
    made = by_hand._setting("blue", Autoscale(1, 9), "westeurope", "")
    by_hand._client.autoscale_settings.create_or_update("rg-loopback", "by-hand", made)
    world.endpoints.deploy(scaled(world.declaration("1")))
    assert [each["name"] for each in world.cloud.arm.autoscale_settings()] == [f"{AZURE_NAME}-blue"]
    assert settings(world)["blue"]["profiles"][0]["capacity"]["maximum"] == "3"


def test_a_setting_that_somebody_left_scales_nothing_of_ours(world: CloudWorld) -> None:
    """A setting outlives its deployment, and would scale the next one of that name."""
    world.endpoints.deploy(scaled(world.both({"green": 100})))
    client = world.cloud.client()
    endpoint = client.online_endpoints.get(AZURE_NAME)
    endpoint.traffic = {"blue": 100, "green": 0}
    client.online_endpoints.begin_create_or_update(endpoint).result()
    client.online_deployments.begin_delete("green", AZURE_NAME).result()
    assert set(settings(world)) == {"green"}
    world.cloud.arm.clear()
    world.endpoints.deploy(scaled(world.both({"blue": 100}, {"green": 50})))
    changes = changes_of(world.cloud)
    assert changes.index(f"DELETE {AZURE_NAME}-green") < changes.index("PUT green")
    assert set(settings(world)) == {"blue"}


def test_a_deployment_that_is_being_scaled_holds_no_roll_back(
    world: CloudWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    def at_once(act: Callable[[], None], _: float) -> None:
        act()

    world.endpoints.deploy(scaled(world.both({"blue": 90, "green": 10})))
    monkeypatch.setattr("ml_platform.gateways.endpoints.azureml._when_free", at_once)
    deployments = world.cloud.client().online_deployments
    with ThreadPoolExecutor(1) as pool:
        scaling = pool.submit(load, world, BUSY)
        eventually(lambda: deployments.get("blue", AZURE_NAME).provisioning_state == "Scaling")
        state = world.endpoints.deploy(scaled(world.declaration("1")))
        assert scaling.result() == 2
    assert (state.status, state.declared) == ("serving", scaled(world.declaration("1")))
    assert counts(world) == {"blue": 2}


def test_azure_monitor_that_refuses_holds_no_roll_back(world: CloudWorld) -> None:
    world.endpoints.deploy(scaled(world.both({"blue": 90, "green": 10})))
    world.cloud.arm.fault("forbidden", ".*", "/autoscalesettings", 99)
    with pytest.raises(EndpointError, match="Azure Monitor refused"):
        world.endpoints.deploy(scaled(world.declaration("1")))
    state = world.endpoints.state(NAME)
    world.cloud.arm.clear_faults()
    assert state is not None
    assert (state.status, state.declared.traffic) == ("serving", {"blue": 100})
    world.endpoints.deploy(scaled(world.declaration("1")))
    assert (set(settings(world)), counts(world)) == ({"blue"}, {"blue": 1})


@pytest.mark.parametrize("fault", ["throttle", "drop_answer"])
def test_faults_of_azure_monitor_that_pass_are_outlasted(world: CloudWorld, fault: str) -> None:
    for method in ("PUT", "GET", "DELETE"):
        world.cloud.arm.fault(fault, method, "/autoscalesettings", 1, 1)
    world.endpoints.deploy(scaled(world.declaration("1")))
    world.endpoints.deploy(world.declaration("1"))
    assert not world.cloud.arm.faults_left()
    assert settings(world) == {}


def test_without_the_right_nothing_is_made_and_the_remedy_is_told(world: CloudWorld) -> None:
    world.endpoints.deploy(world.declaration("1"))
    world.cloud.arm.clear()
    world.cloud.arm.fault("forbidden", ".*", "/autoscalesettings", 1)
    with pytest.raises(EndpointError, match="autoscale-role.bicep on resource group rg-loopback"):
        world.endpoints.deploy(scaled(world.both({"blue": 100})))
    assert changes_of(world.cloud) == []
