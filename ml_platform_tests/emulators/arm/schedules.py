"""Schedules of the workspace, and with them its model monitors: a schedule whose action is `CreateMonitor`.

They are held and held against the published types. No clock runs them: the service's own action `trigger` does, and
then the monitor measures (monitor_runs.py). The endpoint that it watches must be there.
"""

import re
from datetime import datetime
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from ml_platform_tests.emulators.arm.answers import Refused, invalid
from ml_platform_tests.emulators.arm.monitor_runs import begin
from ml_platform_tests.emulators.arm.operations import accepted
from ml_platform_tests.emulators.arm.resources import (
    action_answer,
    action_body,
    answered,
    arm_of,
    beside,
    body_of,
    listed,
    route,
)
from ml_platform_tests.emulators.arm.state import Arm, Resource
from ml_platform_tests.emulators.recording import KnownRoute

KIND = "schedules"
DEPLOYMENT = re.compile(r".*/onlineEndpoints/([^/]+)/deployments/([^/]+)", re.IGNORECASE)


def schedule_routes() -> list[KnownRoute]:
    return [
        route("/schedules", _list),
        route("/schedules/{name}", _get),
        route("/schedules/{name}", _put, "PUT"),
        route("/schedules/{name}", _delete, "DELETE"),
        route("/schedules/{name}/trigger", _trigger, "POST"),
    ]


async def _list(request: Request) -> Response:
    """Enabled ones, unless `listViewType` asks for others too."""
    wanted = request.query_params.get("listViewType", "EnabledOnly")
    shown = {"EnabledOnly": {True}, "DisabledOnly": {False}, "All": {True, False}}[wanted]
    found = arm_of(request).store.below(KIND, ())
    return listed(request, [each for each in found if each.properties["isEnabled"] in shown])


async def _get(request: Request) -> Response:
    return answered(request, arm_of(request).store.get(KIND, (request.path_params["name"],)))


async def _put(request: Request) -> Response:
    arm, name, body = arm_of(request), request.path_params["name"], await body_of(request, KIND)
    _check_target(arm, body["properties"]["action"])
    new = arm.store.find(KIND, (name,)) is None
    properties = {"isEnabled": True, **body["properties"], "provisioningState": "Succeeded"}
    resource = arm.store.put(Resource(KIND, (name,), properties, beside(body)))

    async def work() -> None:
        """The service checks the schedule; ours is checked already."""

    return answered(request, resource, 201 if new else 200, arm.operations.start(work))


async def _delete(request: Request) -> Response:
    arm = arm_of(request)
    resource = arm.store.get(KIND, (request.path_params["name"],))

    async def work() -> None:
        arm.store.delete(resource)

    return accepted(request, arm.operations.start(work))


async def _trigger(request: Request) -> Response:
    """Run once, at the time that the caller says it is; a schedule that is switched off is not run."""
    arm, name = arm_of(request), request.path_params["name"]
    at = (await action_body(request, KIND, "trigger"))["scheduleTime"]
    schedule = arm.store.get(KIND, (name,))
    if not schedule.properties["isEnabled"]:
        raise invalid(f"the schedule {name} is disabled")
    if schedule.properties["action"]["actionType"] != "CreateMonitor":
        raise Refused(501, "NotImplemented", "The emulator runs no schedules of jobs", violation=True)
    job = await begin(arm, schedule, datetime.fromisoformat(at))
    answer = {"submissionId": job.names[0], "scheduleActionType": "CreateMonitor"}
    return action_answer(request, KIND, "trigger", answer)


def _check_target(arm: Arm, action: dict[str, Any]) -> None:
    target = (action.get("monitorDefinition") or {}).get("monitoringTarget") or {}
    watched = DEPLOYMENT.fullmatch(target.get("deploymentId") or "")
    if watched and arm.store.find("onlineEndpoints/deployments", (watched[1], watched[2])) is None:
        raise invalid(f"the monitor watches deployment {watched[2]} of endpoint {watched[1]}, which is not there")
