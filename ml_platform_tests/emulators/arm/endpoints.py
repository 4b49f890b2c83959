"""Managed online endpoints and their deployments: the rules of the service, and the containers that it runs."""

import asyncio
import re
import secrets
import uuid
from collections.abc import Awaitable, Callable
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from ml_platform_tests.emulators.arm.answers import Refused, invalid
from ml_platform_tests.emulators.arm.content import download
from ml_platform_tests.emulators.arm.endpoint_identity import client_id_of, identity_variables, injected
from ml_platform_tests.emulators.arm.front_end import DEPLOYMENTS, ENDPOINTS
from ml_platform_tests.emulators.arm.hosted import Hosted, settings_of
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
from ml_platform_tests.emulators.identity import PRINCIPAL, TENANT
from ml_platform_tests.emulators.recording import KnownRoute

NAME = re.compile(r"[a-zA-Z][a-zA-Z0-9-]{1,30}[a-zA-Z0-9]")
ASSET = re.compile(r"(?:^azureml:|/)([^/:]+)(?:/versions/|:)([^/:]+)$")
MAX_MIRROR = 50
WORKING = {"Creating", "Updating", "Deleting", "Scaling"}


def endpoint_routes() -> list[KnownRoute]:
    one, deployment = "/onlineEndpoints/{endpoint}", "/onlineEndpoints/{endpoint}/deployments/{deployment}"
    handlers: list[tuple[str, Callable[[Request], Awaitable[Response]], str]] = [
        ("/onlineEndpoints", _list_endpoints, "GET"),
        (one, _get_endpoint, "GET"),
        (one, _put_endpoint, "PUT"),
        (one, _delete_endpoint, "DELETE"),
        (f"{one}/listKeys", _list_keys, "POST"),
        (f"{one}/regenerateKeys", _regenerate_keys, "POST"),
        (f"{one}/deployments", _list_deployments, "GET"),
        (deployment, _get_deployment, "GET"),
        (deployment, _put_deployment, "PUT"),
        (deployment, _delete_deployment, "DELETE"),
        (f"{deployment}/getLogs", _get_logs, "POST"),
    ]
    return [route(template, handler, method) for template, handler, method in handlers]


async def end_hosted(arm: Arm) -> None:
    """End the containers of all deployments."""
    await asyncio.gather(*(each.hidden["hosted"].end() for each in arm.store.below(DEPLOYMENTS, ())))


def _endpoint(request: Request) -> Resource:
    return arm_of(request).store.get(ENDPOINTS, (request.path_params["endpoint"],))


def _names(request: Request) -> tuple[str, str]:
    return request.path_params["endpoint"], request.path_params["deployment"]


async def _list_endpoints(request: Request) -> Response:
    return listed(request, arm_of(request).store.below(ENDPOINTS, ()))


async def _get_endpoint(request: Request) -> Response:
    return answered(request, _endpoint(request))


async def _put_endpoint(request: Request) -> Response:
    arm, name = arm_of(request), request.path_params["endpoint"]
    body = await body_of(request, ENDPOINTS)
    _named(name)
    old = arm.store.find(ENDPOINTS, (name,))
    _free(old)
    given = {key: value for key, value in body["properties"].items() if value is not None}
    if old and given["authMode"].lower() != old.properties["authMode"].lower():
        raise invalid("authMode of an endpoint cannot be changed")
    traffic, mirror = given.get("traffic", {}), given.get("mirrorTraffic", {})
    _check_shares(arm, name, traffic, mirror)
    wanted = {"traffic": traffic, "mirrorTraffic": mirror}
    if old:
        resource = Resource(ENDPOINTS, (name,), {**old.properties, **_changeable(given)}, beside(body))
        resource.extra["identity"] = _identity(body) or old.extra["identity"]
    else:
        resource = _new_endpoint(arm, name, given, body)
    resource.properties["provisioningState"] = "Updating" if old else "Creating"
    arm.store.put(resource)

    async def work() -> None:
        resource.properties.update(wanted | {"provisioningState": "Succeeded"})

    return answered(request, resource, 200 if old else 201, arm.operations.start(work))


def _changeable(given: dict[str, Any]) -> dict[str, Any]:
    return {key: given[key] for key in ("description", "publicNetworkAccess") if key in given}


def _new_endpoint(arm: Arm, name: str, given: dict[str, Any], body: dict[str, Any]) -> Resource:
    address = f"{arm.front_end}/endpoints/{name}"
    properties = {
        "description": None,
        "properties": {},
        "compute": None,
        "publicNetworkAccess": "Enabled",
        **given,
        "traffic": {},
        "mirrorTraffic": {},
        "scoringUri": f"{address}/score",
        "swaggerUri": f"{address}/swagger.json",
    }
    extra = {"tags": {}, **beside(body), "kind": "Managed", "identity": _identity(body)}
    keys = {"primaryKey": secrets.token_urlsafe(24), "secondaryKey": secrets.token_urlsafe(24)}
    return Resource(ENDPOINTS, (name,), properties, extra, {"keys": keys})


def _identity(body: dict[str, Any]) -> dict[str, Any]:
    given = body.get("identity") or {"type": "SystemAssigned"}
    found: dict[str, Any] = {"type": given["type"], "principalId": PRINCIPAL, "tenantId": TENANT}
    if own := given.get("userAssignedIdentities"):
        found["userAssignedIdentities"] = {
            each: {"principalId": PRINCIPAL, "clientId": client_id_of(each)} for each in own
        }
    return found


def _check_shares(arm: Arm, name: str, traffic: dict[str, int], mirror: dict[str, int]) -> None:
    there = {each.names[1] for each in arm.store.below(DEPLOYMENTS, (name,))}
    if unknown := sorted({*traffic, *mirror} - there):
        raise invalid(f"traffic is given to {unknown}, which are no deployments of the endpoint")
    if sum(traffic.values()) not in (0, 100):
        raise invalid(f"traffic must sum to 0 or 100, not to {sum(traffic.values())}")
    if len(mirror) > 1 or sum(mirror.values()) > MAX_MIRROR:
        raise invalid(f"mirrorTraffic goes to one deployment, at most {MAX_MIRROR} percent: {mirror}")
    if both := [each for each in mirror if traffic.get(each)]:
        raise invalid(f"{both} cannot have live and mirrored traffic at once")


def _named(name: str) -> None:
    if not NAME.fullmatch(name):
        raise invalid(f"{name!r} is no name: 3 to 32 letters, digits and hyphens, a letter first")


def _free(resource: Resource | None) -> None:
    """An operation that is under way is waited for by who wants another."""
    if resource and resource.properties["provisioningState"] in WORKING:
        state = resource.properties["provisioningState"]
        message = f"The request conflicts with an operation on {resource.names[-1]} that is under way: {state}."
        raise Refused(409, "ResourceBusy", message)


async def _delete_endpoint(request: Request) -> Response:
    arm, endpoint = arm_of(request), arm_of(request).store.find(ENDPOINTS, (request.path_params["endpoint"],))
    if endpoint is None:
        return Response(status_code=204)
    _free(endpoint)
    endpoint.properties["provisioningState"] = "Deleting"

    async def work() -> None:
        below = arm.store.below(DEPLOYMENTS, endpoint.names)
        await asyncio.gather(*(each.hidden["hosted"].end() for each in below))
        arm.store.delete(endpoint)

    return accepted(request, arm.operations.start(work))


async def _list_keys(request: Request) -> Response:
    await action_body(request, ENDPOINTS, "listKeys")
    return action_answer(request, ENDPOINTS, "listKeys", _endpoint(request).hidden["keys"])


async def _regenerate_keys(request: Request) -> Response:
    body = await action_body(request, ENDPOINTS, "regenerateKeys")
    which = "primaryKey" if body["keyType"].lower() == "primary" else "secondaryKey"
    _endpoint(request).hidden["keys"][which] = body.get("keyValue") or secrets.token_urlsafe(24)
    return accepted(request, arm_of(request).operations.start(_nothing))


async def _nothing() -> None:
    """Done at once."""


async def _list_deployments(request: Request) -> Response:
    arm = arm_of(request)
    return listed(request, arm.store.below(DEPLOYMENTS, _endpoint(request).names))


async def _get_deployment(request: Request) -> Response:
    return answered(request, arm_of(request).store.get(DEPLOYMENTS, _names(request)))


async def _put_deployment(request: Request) -> Response:
    arm, endpoint, names = arm_of(request), _endpoint(request), _names(request)
    body = await body_of(request, DEPLOYMENTS)
    _named(names[1])
    old = arm.store.find(DEPLOYMENTS, names)
    for each in (endpoint, old):
        _free(each)
    given = {key: value for key, value in body["properties"].items() if value is not None}
    model, environment = _asset(arm, "models", given), _asset(arm, "environments", given)
    if not environment.properties.get("inferenceConfig"):
        raise invalid(
            f"the environment {environment.path} has no inferenceConfig, and the deployment no scoring script"
        )
    if not given.get("instanceType") or not (body.get("sku") or {}).get("capacity"):
        raise invalid("a managed deployment needs instanceType and sku.capacity of at least 1")
    properties = {**_DEFAULTS, **given, "provisioningState": "Updating" if old else "Creating"}
    hosted: Hosted = old.hidden["hosted"] if old else Hosted(arm)
    resource = Resource(DEPLOYMENTS, names, properties, {"tags": {}, **beside(body)}, {"hosted": hosted})
    arm.store.put(resource)

    async def work() -> None:
        try:
            name = "/".join(names)
            mounted, uri = arm.folder / "deployments" / name / uuid.uuid4().hex, str(model.properties["modelUri"])
            # The model's folder stands in the mounted one by its own name.
            await download(arm, uri, mounted / uri.rstrip("/").rsplit("/", 1)[-1])
            settings = settings_of(arm, resource, environment, mounted, name, identity_variables(arm, names[0]))
            settings.environment = injected(arm, settings.environment)
            await hosted.replace(settings)
        except BaseException:
            properties["provisioningState"] = "Failed"
            raise
        properties["provisioningState"] = "Succeeded"

    return answered(request, resource, 200 if old else 201, arm.operations.start(work))


_DEFAULTS = {
    "appInsightsEnabled": False,
    "codeConfiguration": None,
    "dataCollector": None,
    "description": None,
    "egressPublicNetworkAccess": "Enabled",
    "environmentVariables": {},
    "modelMountPath": None,
    "properties": {},
    "scaleSettings": {"scaleType": "Default"},
}


def _asset(arm: Arm, kind: str, given: dict[str, Any]) -> Resource:
    """The version of a model or an environment that a deployment names."""
    reference = str(given.get("model" if kind == "models" else "environmentId", ""))
    found = ASSET.search(reference)
    resource = arm.store.find(f"{kind}/versions", (found[1], found[2])) if found else None
    if resource is None:
        raise invalid(f"{kind}: {reference!r} is no version that the workspace has")
    return resource


async def _delete_deployment(request: Request) -> Response:
    arm, endpoint = arm_of(request), _endpoint(request)
    resource = arm.store.find(DEPLOYMENTS, _names(request))
    if resource is None:
        return Response(status_code=204)
    for each in (endpoint, resource):
        _free(each)
    name = resource.names[1]
    if endpoint.properties["traffic"].get(name) or endpoint.properties["mirrorTraffic"].get(name):
        raise invalid(f"the deployment {name!r} gets traffic or mirrored traffic and cannot be deleted")
    resource.properties["provisioningState"] = "Deleting"

    async def work() -> None:
        await resource.hidden["hosted"].end()
        arm.store.delete(resource)

    return accepted(request, arm.operations.start(work))


async def _get_logs(request: Request) -> Response:
    body = await action_body(request, DEPLOYMENTS, "getLogs") or {}
    arm = arm_of(request)
    resource = arm.store.get(DEPLOYMENTS, _names(request))
    log = arm.folder / "deployments" / "/".join(resource.names) / "inference-server.log"
    lines = log.read_text(errors="replace").splitlines() if log.exists() else []
    content = "\n".join(lines[-(body.get("tail") or 100) :])
    return action_answer(request, DEPLOYMENTS, "getLogs", {"content": content})
