"""Long-running operations as ARM has them: 201 or 202 at once, `Azure-AsyncOperation` and `Location` to poll."""

import asyncio
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from ml_platform_tests.emulators.arm.answers import Refused
from ml_platform_tests.emulators.recording import KnownRoute

# The SDK would poll each 30 s by itself; whole seconds are the least that the header can say.
POLL = {"Retry-After": "1"}
PROVIDER = "/subscriptions/{subscription}/providers/Microsoft.MachineLearningServices/locations/{region}"


@dataclass
class Operation:
    """`status`: InProgress, Succeeded, Failed or Canceled; `code` and `message` tell why it failed."""

    id: str
    status: str = "InProgress"
    code: str = ""
    message: str = ""
    task: "asyncio.Task[None] | None" = field(default=None, repr=False)


@dataclass
class Operations:
    """All operations since the start."""

    known: dict[str, Operation] = field(default_factory=dict)

    def start(self, work: Callable[[], Awaitable[None]]) -> Operation:
        """Begin an operation. Its work raises `Refused` to fail with the service's error."""
        operation = Operation(uuid.uuid4().hex)
        self.known[operation.id] = operation
        operation.task = asyncio.create_task(_run(operation, work))
        return operation


async def _run(operation: Operation, work: Callable[[], Awaitable[None]]) -> None:
    try:
        await work()
        operation.status = "Succeeded"
    except Refused as refused:
        operation.status, operation.code, operation.message = "Failed", refused.code, str(refused)
    except asyncio.CancelledError:
        operation.status = "Canceled"
        raise
    except BaseException as error:  # a defect of the emulator: the client must not wait for ever
        operation.status, operation.code, operation.message = "Failed", "InternalServerError", repr(error)
        raise


def polling(request: Request, operation: Operation) -> dict[str, str]:
    """The headers of an answer that starts an operation."""
    arm = request.app.state.arm
    place = PROVIDER.format(subscription=arm.workspace.subscription, region=arm.workspace.region)
    version = request.query_params.get("api-version", "")
    url = f"{arm.address}{place}/mfeOperations{{}}/{operation.id}?api-version={version}"
    return {"Azure-AsyncOperation": url.format("Status"), "Location": url.format("Results"), **POLL}


def accepted(request: Request, operation: Operation) -> Response:
    """202 without a body: how the service answers DELETE, cancel and the like."""
    return Response(status_code=202, headers=polling(request, operation))


def operation_routes() -> list[KnownRoute]:
    async def status(request: Request) -> Response:
        operation = _find(request)
        body: dict[str, object] = {"id": request.url.path, "name": operation.id, "status": operation.status}
        if operation.status == "Failed":
            body["error"] = {"code": operation.code, "message": operation.message}
        return JSONResponse(body, headers=POLL if operation.status == "InProgress" else {})

    async def result(request: Request) -> Response:
        operation = _find(request)
        if operation.status == "InProgress":
            return Response(status_code=202, headers={"Location": str(request.url), **POLL})
        if operation.status == "Failed":
            return JSONResponse({"error": {"code": operation.code, "message": operation.message}}, 400)
        return Response(status_code=200)

    return [
        KnownRoute(f"{PROVIDER}/mfeOperationsStatus/{{operation}}", status),
        KnownRoute(f"{PROVIDER}/mfeOperationResults/{{operation}}", result),
        KnownRoute(f"{PROVIDER}/mfeOperationsResults/{{operation}}", result),
    ]


def _find(request: Request) -> Operation:
    known = request.app.state.arm.operations.known
    name = request.path_params["operation"]
    if name not in known:
        raise Refused(404, "OperationNotFound", f"The operation {name} is not known.", violation=True)
    return known[name]
