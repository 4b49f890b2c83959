"""What all ARM routes of the workspace do: check the version and the body, find the resource, render the answer."""

from collections.abc import Awaitable, Callable
from typing import Any, Literal

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from ml_platform_tests.emulators.arm.answers import Refused, invalid, not_found
from ml_platform_tests.emulators.arm.operations import Operation, polling
from ml_platform_tests.emulators.arm.published import NAMESPACE
from ml_platform_tests.emulators.arm.state import Arm, Resource
from ml_platform_tests.emulators.recording import KnownRoute

WORKSPACE = f"/subscriptions/{{subscription}}/resourceGroups/{{group}}/providers/{NAMESPACE}/{{workspace}}"
Handler = Callable[[Request], Awaitable[Response]]
BESIDE = ("tags", "location", "identity", "sku", "kind")


def route(template: str, endpoint: Handler, method: str = "GET") -> KnownRoute:
    """A route below the workspace, `/models/{name}/versions/{version}`; a POST's last part is an action.

    Another workspace and an API version that is not published for the kind are refused before the endpoint is asked.
    """
    words = [part for part in template.split("/") if part and not part.startswith("{")]
    kind = "/".join(words[:-1] if method == "POST" else words)

    async def checked(request: Request) -> Response:
        version_of(request, kind)
        return await endpoint(request)

    return KnownRoute(WORKSPACE + template, checked, methods=[method])


def arm_of(request: Request) -> Arm:
    """The service behind a request; a request for another workspace is the service's 404."""
    arm: Arm = request.app.state.arm
    asked = "/subscriptions/{subscription}/resourceGroups/{group}/providers/".format(**request.path_params)
    asked += f"{NAMESPACE}/{request.path_params['workspace']}"
    if asked.lower() != arm.workspace.id.lower():
        raise not_found(asked)
    return arm


def version_of(request: Request, kind: str) -> str:
    """The API version; one that is not published for the kind is refused."""
    version, arm = request.query_params.get("api-version", ""), arm_of(request)
    if not version:
        raise Refused(
            400,
            "MissingApiVersionParameter",
            "The api-version query parameter (?api-version=) is required.",
            violation=True,
        )
    if arm.published.folder and not arm.published.knows(kind, version):
        message = f"No registered resource provider found for API version '{version}' for type '{NAMESPACE}/{kind}'."
        raise Refused(400, "NoRegisteredProviderFound", message, violation=True)
    return version


async def body_of(request: Request, kind: str) -> dict[str, Any]:
    """The body of a PUT, held against the published type: what contradicts it is recorded and refused."""
    version, body = version_of(request, kind), await request.json()
    problems = arm_of(request).published.request(kind, version, body)
    if problems:
        raise invalid(f"{kind} {version}: " + "; ".join(problems))
    return body


async def action_body(request: Request, kind: str, action: str) -> Any:
    """The body of a POST to a resource, held against the action's published input."""
    version = version_of(request, kind)
    body = await request.json() if await request.body() else None
    problems = arm_of(request).published.action(kind, action, version, body, "input")
    if problems:
        raise invalid(f"{kind} {action} {version}: " + "; ".join(problems))
    return body


def action_answer(request: Request, kind: str, action: str, body: Any) -> Response:
    """The answer of a POST to a resource, held against the action's published output."""
    problems = arm_of(request).published.action(kind, action, version_of(request, kind), body, "output")
    arm_of(request).record.violate(f"the emulator's own answer to {kind} {action}", *problems)
    return JSONResponse(body)


def beside(body: dict[str, Any]) -> dict[str, Any]:
    """What a body carries beside its properties."""
    return {name: body[name] for name in BESIDE if body.get(name) is not None}


def rendered(request: Request, resource: Resource) -> dict[str, Any]:
    """A resource as ARM shows it in the request's API version; what its type does not know there is left out."""
    arm, version = arm_of(request), version_of(request, resource.kind)
    kind = f"{NAMESPACE}/{resource.kind}".rstrip("/")
    path = f"/{resource.path}" if resource.kind else ""
    shown = {"id": arm.workspace.id + path, "name": resource.names[-1] if resource.names else arm.workspace.name}
    shown |= {"type": kind, "properties": resource.properties, "systemData": resource.system_data, **resource.extra}
    shown = arm.published.shown(resource.kind, version, shown)
    problems = arm.published.answer(resource.kind, version, shown)
    arm.record.violate(f"the emulator's own {resource.kind} {version}", *problems)
    return shown


def answered(
    request: Request, resource: Resource, status: Literal[200, 201] = 200, operation: Operation | None = None
) -> Response:
    """A resource as answer; with an operation the answer tells where to poll."""
    return JSONResponse(rendered(request, resource), status, polling(request, operation) if operation else None)


def listed(request: Request, resources: list[Resource]) -> Response:
    """A page of resources; all fit on one."""
    return JSONResponse({"value": [rendered(request, each) for each in resources], "nextLink": None})
