"""Versioned assets: models, environments, codes and data. A version never changes; its tags and description may."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from ml_platform_tests.emulators.arm.answers import Refused, invalid
from ml_platform_tests.emulators.arm.operations import accepted
from ml_platform_tests.emulators.arm.resources import answered, arm_of, body_of, listed, route
from ml_platform_tests.emulators.arm.state import Arm, Resource
from ml_platform_tests.emulators.recording import KnownRoute

NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9\-_.]{0,254}")
CHANGEABLE = {
    "description",
    "tags",
    "properties",
    "isArchived",
    "stage",
    "flavors",
    "provisioningState",
    "autoDeleteSetting",
}


@dataclass(frozen=True)
class Kind:
    """A kind of asset: `content` names what makes its version, `defaults` what the service adds."""

    name: str
    content: tuple[str, ...]
    defaults: dict[str, Any]

    @property
    def versions(self) -> str:
        return f"{self.name}/versions"


COMMON = {"description": None, "tags": {}, "properties": {}, "isArchived": False, "isAnonymous": False}
MODELS = Kind("models", ("modelUri",), {"flavors": {}, "modelType": "custom_model", "stage": None, "jobName": None})
ENVIRONMENTS = Kind("environments", ("image", "condaFile", "build"), {"osType": "Linux"})
CODES = Kind("codes", ("codeUri",), {})
DATA = Kind("data", ("dataUri",), {"dataType": "uri_file"})
KINDS = (MODELS, ENVIRONMENTS, CODES, DATA)


def put_version(arm: Arm, kind: Kind, name: str, version: str, body: dict[str, Any]) -> tuple[Resource, bool]:
    """Create a version, or change of one what may change; True if it is new. Also what MLflow's registrations do."""
    for part in (name, version):
        if not NAME.fullmatch(part):
            raise invalid(f"{part!r} is no name of an asset: letters, digits, '-', '_' and '.' only")
    given = {key: value for key, value in body["properties"].items() if value is not None}
    old = arm.store.find(kind.versions, (name, version))
    if old is None:
        _check_content(arm, kind, given)
        properties = {**COMMON, **kind.defaults, "provisioningState": "Succeeded", **given}
        contain(arm, kind, name)
        return arm.store.put(Resource(kind.versions, (name, version), properties)), True
    changed = [key for key in given.keys() - CHANGEABLE if given[key] != old.properties.get(key)]
    if changed:
        message = f"{kind.name} {name}:{version} exists and cannot be changed: {', '.join(sorted(changed))}"
        raise Refused(409, "Conflict", f"{message}. Create a new version instead.", violation=True)
    properties = {**old.properties, **given}
    return arm.store.put(Resource(kind.versions, (name, version), properties)), False


def contain(arm: Arm, kind: Kind, name: str) -> Resource:
    """The container of an asset's versions, made if it is not there yet."""
    found = arm.store.find(kind.name, (name,))
    if found is None:
        properties = {"description": None, "tags": {}, "properties": {}, "isArchived": False}
        found = arm.store.put(Resource(kind.name, (name,), properties))
    return found


def _check_content(arm: Arm, kind: Kind, given: dict[str, Any]) -> None:
    if not any(given.get(each) for each in kind.content):
        raise invalid(f"{kind.name} needs one of {', '.join(kind.content)}")
    uri = str(given.get(kind.content[0], ""))
    datastore = re.match(r"azureml:/(?:/subscriptions/.*)?/datastores/([^/]+)/paths/.+", uri)
    if datastore and arm.store.find("datastores", (datastore[1],)) is None:
        raise invalid(f"{uri}: the workspace has no datastore {datastore[1]!r}")
    if uri.startswith("azureml:") and not datastore and not re.match(r"azureml://(jobs|.*/jobs)/[^/]+/outputs/", uri):
        raise invalid(f"{uri} is no path of the workspace: azureml://datastores/NAME/paths/PATH")


def latest(arm: Arm, kind: Kind, name: str) -> dict[str, Any]:
    """What a container tells of its versions: `latestVersion` (None if there is none) and `nextVersion`."""
    versions = arm.store.below(kind.versions, (name,))
    numbers = [int(each.names[1]) for each in versions if each.names[1].isdigit()]
    return {
        "latestVersion": versions[0].names[1] if versions else None,
        "nextVersion": str(max(numbers, default=0) + 1),
    }


def asset_routes() -> list[KnownRoute]:
    return [each for kind in KINDS for each in _routes(kind)]


def _routes(kind: Kind) -> list[KnownRoute]:
    container, version = f"/{kind.name}/{{name}}", f"/{kind.name}/{{name}}/versions/{{version}}"
    handlers: list[tuple[str, Callable[..., Any], str]] = [
        (f"/{kind.name}", _list_containers, "GET"),
        (container, _get_container, "GET"),
        (f"{container}/versions", _list_versions, "GET"),
        (version, _get_version, "GET"),
        (version, _put_version, "PUT"),
        (version, _delete_version, "DELETE"),
    ]
    return [route(template, _of(kind, handler), method) for template, handler, method in handlers]


def _of(kind: Kind, handler: Callable[..., Any]) -> Callable[..., Any]:
    async def bound(request: Request) -> Response:
        return await handler(request, kind)

    return bound


async def _list_containers(request: Request, kind: Kind) -> Response:
    arm = arm_of(request)
    return listed(request, [_container(arm, kind, each) for each in arm.store.below(kind.name, ())])


async def _get_container(request: Request, kind: Kind) -> Response:
    arm = arm_of(request)
    return answered(request, _container(arm, kind, arm.store.get(kind.name, (request.path_params["name"],))))


def _container(arm: Arm, kind: Kind, held: Resource) -> Resource:
    properties = held.properties | latest(arm, kind, held.names[0])
    return Resource(held.kind, held.names, properties, created=held.created, modified=held.modified)


async def _list_versions(request: Request, kind: Kind) -> Response:
    """Newest first; `$top` is honoured, archived ones are left out unless asked for.

    With a hash the name does not matter: the SDK asks under a new name whether the same code was uploaded before.
    """
    arm, query = arm_of(request), request.query_params
    found = arm.store.below(kind.versions, () if "hash" in query else (request.path_params["name"],))
    if "hash" in query:
        found = [each for each in found if each.properties["properties"].get("hash_sha256") == query["hash"]]
    if query.get("listViewType", "ActiveOnly") == "ActiveOnly":
        found = [each for each in found if not each.properties.get("isArchived")]
    return listed(request, found[: int(query.get("$top", len(found)))])


async def _get_version(request: Request, kind: Kind) -> Response:
    return answered(request, arm_of(request).store.get(kind.versions, _names(request)))


async def _put_version(request: Request, kind: Kind) -> Response:
    body = await body_of(request, kind.versions)
    resource, new = put_version(arm_of(request), kind, *_names(request), body)
    return answered(request, resource, 201 if new else 200)


async def _delete_version(request: Request, kind: Kind) -> Response:
    arm = arm_of(request)
    resource = arm.store.get(kind.versions, _names(request))

    async def work() -> None:
        arm.store.delete(resource)

    return accepted(request, arm.operations.start(work))


def _names(request: Request) -> tuple[str, str]:
    return request.path_params["name"], request.path_params["version"]
