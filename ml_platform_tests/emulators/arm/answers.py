"""The shapes in which Azure Resource Manager refuses: {"error": {"code", "message", ...}}."""

from starlette.requests import Request
from starlette.responses import JSONResponse, Response


class Refused(Exception):
    """The service's 4xx. `violation`: the caller broke a contract, which is recorded; else it is an ordinary answer."""

    def __init__(self, status: int, code: str, message: str, violation: bool = False) -> None:
        self.status, self.code, self.violation = status, code, violation
        super().__init__(message)


def not_found(what: str) -> Refused:
    """An ordinary 404: asking whether something is there is no violation."""
    return Refused(404, "ResourceNotFound", f"The Resource '{what}' was not found.")


def invalid(message: str) -> Refused:
    """A 400 for a body that contradicts the published type or a rule of the service."""
    return Refused(400, "UserError", message, violation=True)


async def refuse(request: Request, error: Exception) -> Response:
    """Starlette's exception handler for `Refused`."""
    assert isinstance(error, Refused)
    if error.violation:
        request.app.state.arm.record.violate(f"{request.method} {request.url.path}", str(error))
    body = {"code": error.code, "message": str(error), "target": None, "details": [], "additionalInfo": []}
    return JSONResponse({"error": body}, error.status)
