"""What a product may say of autoscaling, what an autoscale setting may be, and roles while instances come and go."""

from collections.abc import Mapping
from copy import deepcopy
from typing import Any

import pytest
from pydantic import ValidationError

from ml_platform.core.product_endpoint import AutoscaleSpec, EndpointSpec
from ml_platform.errors import EndpointError
from ml_platform.gateways.endpoints import Autoscale, Deployment, EndpointDeclaration
from ml_platform.gateways.endpoints.azureml_deployment import AUTOSCALE_TAG, autoscale_in, tags_of
from ml_platform.gateways.endpoints.azureml_shares import Switch
from ml_platform.scoring.container_contract import Roles, Told
from ml_platform.scoring.measures import Measures
from ml_platform_tests.emulators.arm.autoscale_schema import problems

BLUE = Deployment("blue", "flights", "1", "/models/flights/1")
DECLARED = EndpointDeclaration("flight_delays", (BLUE,), {"blue": 100}, ("flight",), "sched_dep_at")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"min_instances": 3, "max_instances": 2}, r"max_instances \(2\) is less than min_instances \(3\)"),
        ({"min_instances": 0, "max_instances": 2}, "min_instances"),
        ({"min_instances": 1}, "max_instances"),
        (
            {"min_instances": 2, "max_instances": 5, "scale_out_cpu_percent": 80, "scale_in_cpu_percent": 60},
            r"scale_in_cpu_percent \(60\) is too near to scale_out_cpu_percent \(80\).*declare at most 53",
        ),
        ({"min_instances": 1, "max_instances": 2, "window_minutes": 4}, "window_minutes"),
        ({"min_instances": 1, "max_instances": 2, "cooldown_minutes": 0}, "cooldown_minutes"),
        ({"min_instances": 1, "max_instances": 2, "scale_out_cpu_percent": 100}, "scale_out_cpu_percent"),
        ({"min_instances": 1, "max_instances": 2, "cpu": 70}, "unknown key; allowed here: min_instances, max"),
    ],
)
def test_bounds_that_cannot_be_are_refused_by_their_names(given: dict[str, int], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        AutoscaleSpec.model_validate(given)


def test_a_product_has_a_fixed_number_of_instances_unless_it_says_otherwise() -> None:
    assert EndpointSpec().autoscale is None
    spec = AutoscaleSpec(min_instances=2, max_instances=5)
    # What is declared is what is deployed, defaults included.
    assert Autoscale(**spec.model_dump()) == Autoscale(2, 5)
    assert [Autoscale(2, 5).within(count) for count in (1, 2, 4, 9)] == [2, 2, 4, 5]


def test_an_endpoint_s_tags_tell_how_it_is_scaled_and_fit_the_service() -> None:
    scale = Autoscale(1, 1000, 99, 49, 720, 10_080)
    tags = tags_of(EndpointDeclaration("x", (), {}, (), "", autoscale=scale))
    assert autoscale_in(tags) == scale
    assert len(tags[AUTOSCALE_TAG]) <= 256
    assert AUTOSCALE_TAG not in tags_of(DECLARED)
    assert autoscale_in({AUTOSCALE_TAG: "by hand"}) is None


TARGET = "/subscriptions/S/resourceGroups/R/providers/P/workspaces/W/onlineEndpoints/e/deployments/blue"
TRIGGER = {
    "metricName": "CpuUtilizationPercentage",
    "metricResourceUri": TARGET,
    "timeGrain": "PT1M",
    "statistic": "Average",
    "timeWindow": "PT5M",
    "timeAggregation": "Average",
    "operator": "GreaterThan",
    "threshold": 70.0,
}
ACTION = {"direction": "Increase", "type": "ChangeCount", "value": "1", "cooldown": "PT10M"}
PROFILE = {
    "name": "by load",
    "capacity": {"minimum": "1", "maximum": "3", "default": "1"},
    "rules": [{"metricTrigger": TRIGGER, "scaleAction": ACTION}],
}
SETTING = {
    "location": "westeurope",
    "properties": {"enabled": True, "targetResourceUri": TARGET, "profiles": [PROFILE]},
}


def test_the_emulated_service_takes_a_setting_that_is_right() -> None:
    assert list(problems(SETTING)) == []


@pytest.mark.parametrize(
    ("place", "value", "said"),
    [
        ("location", None, '"location" is a required property'),
        ("properties.enabled", "yes", 'properties.enabled: "yes" is not of type "boolean"'),
        ("properties.target", TARGET, "'target' was unexpected"),
        ("properties.profiles", [], "properties.profiles: [] has less than 1 item"),
        ("properties.profiles.0.capacity.minimum", 1, "capacity.minimum: 1 is not of type"),
        ("properties.profiles.0.capacity.default", "4", "1 <= 4 <= 3 does not hold"),
        ("properties.profiles.0.capacity.minimum", "0", "one instance at least"),
        ("properties.profiles.0.rules.0.scaleAction.cooldown", "PT30S", "cooldown is PT30S, not between"),
        ("properties.profiles.0.rules.0.scaleAction.cooldown", "ten minutes", "no duration of ISO 8601"),
        ("properties.profiles.0.rules.0.scaleAction.direction", "Up", "scaleAction.direction"),
        ("properties.profiles.0.rules.0.scaleAction.value", "0", "scaleAction.value"),
        ("properties.profiles.0.rules.0.metricTrigger.timeWindow", "PT4M", "timeWindow is PT4M, not between"),
        ("properties.profiles.0.rules.0.metricTrigger.timeGrain", "PT5M", "sampled each minute"),
        ("properties.profiles.0.rules.0.metricTrigger.metricName", "Percentage CPU", "which online deployments do not"),
        ("properties.profiles.0.rules.0.metricTrigger.metricNamespace", "Microsoft.Compute", "metricNamespace is"),
        ("properties.profiles.0.rules.0.metricTrigger.metricResourceUri", "/other", "not the target"),
        ("properties.profiles.0.rules.0.metricTrigger.threshold", None, '"threshold" is a required property'),
    ],
)
def test_the_emulated_service_refuses_what_the_documentation_does_not_allow(place: str, value: Any, said: str) -> None:
    body: Any = deepcopy(SETTING)
    *path, last = place.split(".")
    part: Any = body
    for each in path:
        part = part[int(each)] if each.isdigit() else part[each]
    if value is None:
        del part[last]
    else:
        part[last] = value
    assert said in "; ".join(problems(body))


class Lake:
    """The documents of an endpoint whose one instance follows its role."""

    def __init__(self) -> None:
        self.written = Roles(1, ("blue",))

    def roles(self) -> Roles:
        return self.written

    def told(self, *_: str) -> dict[str, Told]:
        return {"one": Told(1, BLUE.counted_as, 1, Measures())}


@pytest.mark.parametrize("left", [1, 2])
def test_an_instance_that_autoscaling_removes_meanwhile_is_not_waited_for(
    monkeypatch: pytest.MonkeyPatch, left: int
) -> None:
    monkeypatch.setattr("ml_platform.gateways.endpoints.azureml_shares.FOLLOW_SECONDS", 0.1)
    counted = iter([2, left])

    def count() -> Mapping[str, int]:
        return {"blue": next(counted)}

    put: list[Mapping[str, int]] = []
    switch = Switch(Lake(), count, lambda traffic, _: put.append(traffic))  # pyright: ignore[reportArgumentType]
    if left == 2:
        with pytest.raises(EndpointError, match="1 of 2 instances follow their role"):
            switch.to(DECLARED, {}, {})
        return
    switch.to(DECLARED, {}, {})
    assert put == [{"blue": 100}]
