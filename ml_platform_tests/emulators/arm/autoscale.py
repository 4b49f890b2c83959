"""Autoscale settings of Azure Monitor, for online deployments: held strictly, and followed when a test states a load.

POST `/_emulator/load` {"endpoint", "deployment", "cpu": percent} lets the deployment be so loaded for as long as its
rules look: it is scaled by one step. A setting outlives its target, as in the service. GET `/_emulator/autoscale` lists
all.
"""

import operator
import re
from collections.abc import Callable
from copy import deepcopy
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from ml_platform_tests.emulators.arm.answers import Refused, invalid, not_found
from ml_platform_tests.emulators.arm.autoscale_schema import VERSION, problems
from ml_platform_tests.emulators.arm.front_end import DEPLOYMENTS
from ml_platform_tests.emulators.arm.state import Arm, Resource
from ml_platform_tests.emulators.recording import CONTROL, KnownRoute

KIND = "Microsoft.Insights/autoscaleSettings"
SETTINGS = "/subscriptions/{subscription}/resourcegroups/{group}/providers/Microsoft.Insights/autoscalesettings"
COMPARE: dict[str, Callable[[float, float], bool]] = {
    "GreaterThan": operator.gt,
    "GreaterThanOrEqual": operator.ge,
    "LessThan": operator.lt,
    "LessThanOrEqual": operator.le,
}


def autoscale_routes() -> list[Any]:
    return [
        KnownRoute(SETTINGS, _list),
        KnownRoute(f"{SETTINGS}/{{name}}", _get),
        KnownRoute(f"{SETTINGS}/{{name}}", _put, methods=["PUT"]),
        KnownRoute(f"{SETTINGS}/{{name}}", _delete, methods=["DELETE"]),
        Route(f"{CONTROL}autoscale", _told),
        Route(f"{CONTROL}load", _load, methods=["POST"]),
    ]


def _settings(arm: Arm) -> dict[str, dict[str, Any]]:
    """By their names in small letters: they belong to the resource group, not to the workspace."""
    return arm.store.get("", ()).hidden.setdefault("autoscale", {})


def _arm(request: Request) -> Arm:
    arm: Arm = request.app.state.arm
    place, asked = arm.workspace, request.path_params
    if (asked["subscription"], asked["group"].lower()) != (place.subscription, place.group.lower()):
        raise not_found(request.url.path)
    version = request.query_params.get("api-version", "")
    if version != VERSION:
        message = f"No registered resource provider found for API version '{version}' for type '{KIND}'."
        raise Refused(400, "NoRegisteredProviderFound", message, violation=True)
    return arm


async def _list(request: Request) -> Response:
    return JSONResponse({"value": list(_settings(_arm(request)).values()), "nextLink": None})


async def _told(request: Request) -> Response:
    return JSONResponse(list(_settings(request.app.state.arm).values()))


async def _get(request: Request) -> Response:
    name = request.path_params["name"]
    found = _settings(_arm(request)).get(name.lower())
    if found is None:
        raise not_found(f"{KIND}/{name}")
    return JSONResponse(found)


async def _put(request: Request) -> Response:
    arm, name, body = _arm(request), request.path_params["name"], await request.json()
    if found := list(problems(body)):
        raise invalid(f"autoscaleSettings {name}: " + "; ".join(found))
    target = body["properties"].get("targetResourceUri", "")
    deployment = _deployment(arm, target)
    if deployment is None:
        raise invalid(f"autoscaleSettings {name}: targetResourceUri {target!r} is no online deployment that is there")
    if others := [each["name"] for each in _of(arm, target) if each["name"].lower() != name.lower()]:
        raise Refused(409, "Conflict", f"The target has the autoscale setting {others[0]} already.", violation=True)
    new = name.lower() not in _settings(arm)
    setting = _settings(arm)[name.lower()] = _answered(arm, name, body)
    within = _within(setting, deployment, deployment.extra["sku"]["capacity"])
    if setting["properties"]["enabled"] and within != deployment.extra["sku"]["capacity"]:
        arm.operations.start(lambda: _scale(deployment, within))
    return JSONResponse(setting, 201 if new else 200)


async def _delete(request: Request) -> Response:
    found = _settings(_arm(request)).pop(request.path_params["name"].lower(), None)
    return Response(status_code=200 if found else 204)


def _answered(arm: Arm, name: str, body: dict[str, Any]) -> dict[str, Any]:
    """With what the service adds."""
    place, properties = arm.workspace, {"enabled": False, "notifications": [], "name": name, **body["properties"]}
    properties = deepcopy(properties)
    for profile in properties["profiles"]:
        for rule in profile["rules"]:
            rule["metricTrigger"] = {"dimensions": [], "dividePerInstance": False, **rule["metricTrigger"]}
            rule["scaleAction"] = {"value": "1", **rule["scaleAction"]}
    group = f"/subscriptions/{place.subscription}/resourceGroups/{place.group}"
    about = {"id": f"{group}/providers/{KIND}/{name}", "name": name, "type": KIND}
    return {**about, "location": body["location"], "tags": body.get("tags") or {}, "properties": properties}


def _deployment(arm: Arm, target: str) -> Resource | None:
    place = re.escape(arm.workspace.id)
    found = re.fullmatch(rf"{place}/onlineEndpoints/([^/]+)/deployments/([^/]+)", target, re.IGNORECASE)
    return arm.store.find(DEPLOYMENTS, (found[1], found[2])) if found else None


def _of(arm: Arm, target: str) -> list[dict[str, Any]]:
    every = _settings(arm).values()
    return [each for each in every if each["properties"].get("targetResourceUri", "").lower() == target.lower()]


async def _load(request: Request) -> Response:
    arm: Arm = request.app.state.arm
    told = await request.json()
    deployment = arm.store.get(DEPLOYMENTS, (told["endpoint"], told["deployment"]))
    count = deployment.extra["sku"]["capacity"]
    for setting in _of(arm, f"{arm.workspace.id}/{deployment.path}"):
        if setting["properties"]["enabled"]:
            await _scale(deployment, _within(setting, deployment, _wanted(setting, count, told["cpu"])))
    return JSONResponse({"capacity": deployment.extra["sku"]["capacity"]})


def _wanted(setting: dict[str, Any], count: int, load: float) -> int:
    """One step by the first rule that holds; nothing is removed whose load the others would be scaled out by."""
    rules = setting["properties"]["profiles"][0]["rules"]
    for rule in sorted(rules, key=lambda each: each["scaleAction"]["direction"] != "Increase"):
        action, value = rule["scaleAction"], int(rule["scaleAction"]["value"])
        if _holds(rule, load):
            if action["direction"] == "Increase":
                return count + value
            left = max(count - value, 1)
            flaps = any(_holds(r, load * count / left) for r in rules if r["scaleAction"]["direction"] == "Increase")
            return count if flaps else left
    return count


def _holds(rule: dict[str, Any], load: float) -> bool:
    trigger = rule["metricTrigger"]
    return COMPARE[trigger["operator"]](load, trigger["threshold"])


def _within(setting: dict[str, Any], deployment: Resource, count: int) -> int:
    capacity = setting["properties"]["profiles"][0]["capacity"]
    return min(max(count, int(capacity["minimum"])), int(capacity["maximum"]))


async def _scale(deployment: Resource, count: int) -> None:
    if count == deployment.extra["sku"]["capacity"]:
        return
    deployment.extra["sku"]["capacity"] = count
    deployment.properties["provisioningState"] = "Scaling"
    await deployment.hidden["hosted"].scale(count)
    deployment.properties["provisioningState"] = "Succeeded"
