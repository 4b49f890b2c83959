"""Autoscale settings of the emulated service: what the real SDK sends, and what is refused and recorded."""

from typing import Any

import httpx
import pytest

from ml_platform_tests.contract.arm_calls import PLACE, token
from ml_platform_tests.emulators.arm.autoscale_schema import VERSION
from ml_platform_tests.emulators.process import Emulator

GROUP = f"/subscriptions/{PLACE.subscription}/resourcegroups/{PLACE.group}"
TARGET = f"{PLACE.id}/onlineEndpoints/flights/deployments/blue"


def ask(
    arm: Emulator, method: str, name: str = "", body: Any = None, version: str = VERSION, group: str = GROUP
) -> httpx.Response:
    return httpx.request(
        method,
        f"{arm.address}{group}/providers/Microsoft.Insights/autoscalesettings{name}",
        params={"api-version": version},
        json=body,
        headers={"Authorization": f"Bearer {token(arm)}"},
        verify=arm.cloud.trust,
    )


def setting(target: str = TARGET) -> dict[str, Any]:
    capacity = {"minimum": "1", "maximum": "2", "default": "1"}
    profiles = [{"name": "fixed", "capacity": capacity, "rules": []}]
    return {"location": "westeurope", "properties": {"targetResourceUri": target, "profiles": profiles}}


def test_there_are_none_and_deleting_one_is_told_as_done(arm: Emulator) -> None:
    assert ask(arm, "GET").json()["value"] == []
    assert ask(arm, "GET", "/lost").status_code == 404
    assert ask(arm, "DELETE", "/lost").status_code == 204
    assert ask(arm, "GET", group=GROUP.replace(PLACE.group, "rg-other")).status_code == 404


@pytest.mark.parametrize("target", [TARGET, TARGET.rpartition("/deployments")[0], "/subscriptions/S/vm"])
def test_a_target_that_is_no_deployment_or_not_there_is_refused(arm: Emulator, target: str) -> None:
    answer = ask(arm, "PUT", "/flights-blue", setting(target))
    assert (answer.status_code, "no online deployment" in answer.text) == (400, True)
    arm.pardon("no online deployment that is there")


def test_a_body_that_the_documentation_does_not_allow_is_refused_and_recorded(arm: Emulator) -> None:
    body = setting()
    body["properties"]["profile"] = body["properties"].pop("profiles")
    answer = ask(arm, "PUT", "/flights-blue", body)
    assert answer.status_code == 400
    assert arm.pardon("'profile' was unexpected")


def test_another_version_and_a_route_that_nobody_knows_are_recorded(arm: Emulator) -> None:
    assert ask(arm, "GET", version="2015-04-01").status_code == 400
    arm.pardon("No registered resource provider found for API version '2015-04-01'")
    assert ask(arm, "PATCH", "/flights-blue", {}).status_code == 404
    assert [each.split("/")[-1] for each in arm.record()["unknown_routes"]] == [f"flights-blue {VERSION}"]
    arm.clear()
