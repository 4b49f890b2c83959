"""What a container of an endpoint is given of the endpoint's identity: tokens, and secrets that are read as it.

Tokens come as Azure ML gives them to containers: MSI_ENDPOINT and MSI_SECRET, api-version 2017-09-01. An endpoint with
identities of its own gets none without the client id of one. POST `/_emulator/injected` keeps secrets, by what refers
to them; `readable: false` lets no endpoint read them.
"""

import hmac
import re
import uuid

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from ml_platform_tests.emulators.arm.answers import invalid
from ml_platform_tests.emulators.arm.front_end import ENDPOINTS
from ml_platform_tests.emulators.arm.state import Arm
from ml_platform_tests.emulators.recording import CONTROL, KnownRoute

TOKENS = "/msi/endpoints/"
_REFERENCE = re.compile(r"\$\{\{(.*)\}\}", re.DOTALL)
_KNOWN = re.compile(r"keyvault:https://[^/]+/secrets/[^/]+/[^/]+|azureml://connections/[^/]+/credentials/[^/]+")


def client_id_of(identity: str) -> str:
    """Of an identity, by its ARM id."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, identity.lower()))


def endpoint_identity_routes() -> list[Route]:
    return [
        KnownRoute(f"{TOKENS}{{endpoint}}/token", _token),
        Route(f"{CONTROL}injected", _keep, methods=["POST"]),
    ]


def identity_variables(arm: Arm, endpoint: str) -> dict[str, str]:
    """By which azure-identity finds the identity in a container."""
    return {"MSI_ENDPOINT": f"{arm.address}{TOKENS}{endpoint}/token", "MSI_SECRET": arm.identity.secret}


def injected(arm: Arm, variables: dict[str, str]) -> dict[str, str]:
    """The variables with secrets in the place of what refers to them; raises the service's refusal."""
    return {name: _secret(arm, name, value) for name, value in variables.items()}


def _secret(arm: Arm, name: str, value: str) -> str:
    found, kept = _REFERENCE.fullmatch(value), _kept(arm)
    if not found:
        return value
    if not _KNOWN.fullmatch(found[1]):
        raise invalid(f"the environment variable {name} refers to no secret store: {value}")
    if not kept["readable"] or value not in kept["secrets"]:
        raise invalid(f"the endpoint's identity cannot read the secret of the environment variable {name}: {value}")
    return kept["secrets"][value]


def _kept(arm: Arm) -> dict:
    return arm.store.get("", ()).hidden.setdefault("injected", {"secrets": {}, "readable": True})


async def _keep(request: Request) -> Response:
    _kept(request.app.state.arm).update(await request.json())
    return JSONResponse({})


async def _token(request: Request) -> Response:
    arm: Arm = request.app.state.arm
    if not hmac.compare_digest(request.headers.get("secret", ""), arm.identity.secret):
        return JSONResponse({"statusCode": 401, "message": "The secret is wrong."}, 401)
    own = arm.store.get(ENDPOINTS, (request.path_params["endpoint"],)).extra["identity"]
    allowed = {each["clientId"] for each in own.get("userAssignedIdentities", {}).values()} or {None}
    asked = request.query_params.get("clientid")
    if asked not in allowed or request.query_params.get("api-version") != "2017-09-01":
        message = "No User Assigned or Delegated Managed Identity found for specified ClientId/ResourceId/PrincipalId."
        return JSONResponse({"statusCode": 400, "message": message}, 400)
    resource = request.query_params["resource"]
    token, ends = arm.identity.issue(resource)
    return JSONResponse({"access_token": token, "expires_on": str(ends), "resource": resource, "token_type": "Bearer"})
