"""What a failure of an Azure service means, and what to do about it, naming resource, role and identity."""

import base64
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ml_platform.doctor.check import CheckFailed

if TYPE_CHECKING:
    from azure.core.exceptions import AzureError

NETWORK = (
    "Let this machine reach {host}: name resolution, firewall, the network rules or private endpoint of {resource}"
)


@dataclass(frozen=True)
class Asked:
    """What was asked: the resource as a person names it, its host, the role that allows it, and for which scope."""

    resource: str
    host: str
    role: str
    scope: str


def explained(error: "AzureError", asked: Asked, missing: str) -> CheckFailed:
    """The check's failure. `missing` is the remedy where the resource is not there (404)."""
    from azure.core.exceptions import (
        ClientAuthenticationError,
        HttpResponseError,
        ServiceRequestError,
        ServiceResponseError,
    )

    if isinstance(error, HttpResponseError) and error.status_code:
        return _refused(error, error.status_code, asked, missing)
    if isinstance(error, ClientAuthenticationError):
        return CheckFailed(
            f"there is no credential for {asked.resource}: {_first_line(error)}",
            "Give this process an identity: a managed or workload identity, AZURE_TENANT_ID, AZURE_CLIENT_ID and "
            "AZURE_CLIENT_SECRET of a service principal, or `az login`",
        )
    if isinstance(error, ServiceRequestError | ServiceResponseError):
        return _unreached(error, asked)
    return CheckFailed(f"{asked.resource}: {_first_line(error)}", f"Correct what the message says of {asked.resource}")


def _refused(error: Any, status: int, asked: Asked, missing: str) -> CheckFailed:
    code = code_of(error)
    why = f"{asked.resource} answers {status} {code}".strip()
    if status == 404:
        return CheckFailed(why, missing)
    if status == 401:
        return CheckFailed(
            f"{why}: the token of {identity(asked.scope)} is not accepted",
            f"Use an identity of the tenant of {asked.resource}: correct AZURE_TENANT_ID and AZURE_CLIENT_ID, or sign "
            "in again",
        )
    if status == 403:
        return CheckFailed(why, f"Give {identity(asked.scope)} the role {asked.role} on {asked.resource}")
    if status in (429, 503):
        wait = (error.response.headers if error.response else {}).get("Retry-After", "some")
        return CheckFailed(
            f"{why}: it is throttled",
            f"Wait {wait} seconds and ask again; ask for less of {asked.resource} if it stays so",
        )
    if status >= 500:
        return CheckFailed(why, f"Ask again in some minutes, and see Azure's service health for {asked.resource}")
    return CheckFailed(f"{why}: {_first_line(error)}", f"Correct what the message says of {asked.resource}")


def _unreached(error: "AzureError", asked: Asked) -> CheckFailed:
    said = _first_line(error)
    if "certificate" in said.lower():
        return CheckFailed(
            f"the certificate of {asked.host} is not trusted",
            f"Name the authority that {asked.host} is certified by in REQUESTS_CA_BUNDLE and SSL_CERT_FILE",
        )
    why = f"{asked.host} cannot be reached: {said}"
    return CheckFailed(why, NETWORK.format(host=asked.host, resource=asked.resource))


def identity(scope: str) -> str:
    """Who asks for tokens here, as an administrator finds it: names and ids, which are in each token."""
    claims = _claims(scope)
    name = next((str(claims[key]) for key in ("upn", "unique_name", "app_displayname") if claims.get(key)), "")
    ids = ", ".join(f"{key} {claims[key]}" for key in ("oid", "appid") if claims.get(key))
    return " ".join(part for part in ("the identity", name, f"({ids})" if ids else "") if part)


def _claims(scope: str) -> dict[str, Any]:
    from azure.core.exceptions import AzureError
    from azure.identity import DefaultAzureCredential

    try:
        body = DefaultAzureCredential().get_token(scope).token.split(".")[1]
        return json.loads(base64.urlsafe_b64decode(body + "=="))
    except (AzureError, IndexError, ValueError):
        return {}


def code_of(error: Any) -> str:
    """The service's own code of an error, such as AuthorizationPermissionMismatch."""
    code = getattr(error, "error_code", None) or getattr(getattr(error, "error", None), "code", None) or ""
    return str(getattr(code, "value", code))


def _first_line(error: BaseException) -> str:
    lines = str(getattr(error, "message", "") or error).strip().splitlines()
    return (lines[0] if lines else type(error).__name__)[:300]
