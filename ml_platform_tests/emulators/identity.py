"""Stands in for Entra ID: managed identity and service principals, with signed tokens that expire.

Managed identity as App Service offers it (api-version 2019-08-01): GET IDENTITY_ENDPOINT?resource=... with the header
X-IDENTITY-HEADER. Service principals: POST /{tenant}/oauth2/v2.0/token, grant_type=client_credentials, with a secret
or, by workload identity federation, with the token of a Kubernetes service account.
"""

import base64
import hashlib
import hmac
import json
import time
import uuid
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, urlparse

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from ml_platform_tests.emulators.recording import KnownRoute

TENANT = "00000000-1111-2222-3333-444444444444"
PRINCIPAL = "55555555-6666-7777-8888-999999999999"
ISSUER = f"https://sts.windows.net/{TENANT}/"
CLUSTER = "https://oidc.cluster.example/"
"""Who issues the tokens of service accounts."""
WORKLOAD = "system:serviceaccount:dagster:run"
"""The service account that is trusted to be PRINCIPAL."""
EXCHANGE = "api://AzureADTokenExchange"
ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
ARM_AUDIENCES = {"management.azure.com", "management.core.windows.net", "ml.azure.com", "127.0.0.1", "localhost"}


class Unauthorized(Exception):
    """A token that no service would take: `code` as ARM names it."""

    def __init__(self, code: str, message: str) -> None:
        self.code = code
        super().__init__(message)


@dataclass
class Identity:
    """Issues and checks tokens. `secret` is IDENTITY_HEADER and the client secret; `key` signs."""

    secret: str
    key: str
    seconds: int = 86400
    issued: int = field(default=0, init=False)

    def issue(self, audience: str, seconds: int | None = None) -> tuple[str, int]:
        """A token for an audience, and when it ends (Unix seconds)."""
        self.issued += 1
        now = int(time.time())
        ends = now + (self.seconds if seconds is None else seconds)
        claims: dict[str, Any] = {"aud": audience, "iss": ISSUER, "tid": TENANT, "oid": PRINCIPAL, "appid": PRINCIPAL}
        claims |= {"iat": now, "nbf": now - 5, "exp": ends, "ver": "1.0", "uti": uuid.uuid4().hex}
        return self._signed(claims), ends

    def service_account_token(self, subject: str = WORKLOAD, audience: str = EXCHANGE, seconds: int = 3600) -> str:
        """What Kubernetes writes into AZURE_FEDERATED_TOKEN_FILE of a pod."""
        now = int(time.time())
        claims = {"iss": CLUSTER, "sub": subject, "aud": [audience], "iat": now, "nbf": now - 5, "exp": now + seconds}
        return self._signed(claims)

    def refused_workload(self, token: str) -> str:
        """Why the token of a service account is not taken for PRINCIPAL, in Entra's words; "" when it is."""
        body, _, signature = token.rpartition(".")
        if token.count(".") != 2 or not hmac.compare_digest(signature, self._signature(body)):
            return "AADSTS50027: JWT token is invalid or malformed."
        claims = json.loads(base64.urlsafe_b64decode(body.split(".")[1] + "=="))
        if claims.get("iss") != CLUSTER or claims.get("sub") != WORKLOAD:
            return "AADSTS700213: No matching federated identity record found for presented assertion subject."
        if claims["aud"] != [EXCHANGE]:
            return "AADSTS700212: No matching federated identity record found for presented assertion audience."
        return (
            "AADSTS700024: Client assertion is not within its valid time range." if claims["exp"] <= time.time() else ""
        )

    def _signed(self, claims: dict[str, Any]) -> str:
        body = f"{_encoded({'typ': 'JWT', 'alg': 'HS256'})}.{_encoded(claims)}"
        return f"{body}.{self._signature(body)}"

    def verify(self, authorization: str | None, audiences: set[str] = ARM_AUDIENCES) -> dict[str, Any]:
        """The claims of a bearer token, or Unauthorized."""
        scheme, _, token = (authorization or "").partition(" ")
        if scheme.lower() != "bearer" or token.count(".") != 2:
            raise Unauthorized("AuthenticationFailed", "Authentication failed. The 'Authorization' header is missing.")
        body, _, signature = token.rpartition(".")
        if not hmac.compare_digest(signature, self._signature(body)):
            raise Unauthorized("InvalidAuthenticationToken", "The access token is invalid.")
        claims = json.loads(base64.urlsafe_b64decode(body.split(".")[1] + "=="))
        if claims["exp"] <= time.time():
            raise Unauthorized("ExpiredAuthenticationToken", "The access token expiry UTC time is in the past.")
        if (urlparse(claims["aud"]).hostname or claims["aud"]) not in audiences:
            raise Unauthorized("InvalidAuthenticationTokenAudience", "The access token has the wrong audience.")
        return claims

    def _signature(self, body: str) -> str:
        digest = hmac.new(self.key.encode(), body.encode(), hashlib.sha256).digest()
        return base64.urlsafe_b64encode(digest).decode().rstrip("=")


def _encoded(part: dict[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=")


def identity_routes(identity: Identity) -> list[Route]:
    """`/msi/token` and what MSAL needs of an authority."""

    async def managed(request: Request) -> Response:
        if not hmac.compare_digest(request.headers.get("x-identity-header", ""), identity.secret):
            return JSONResponse({"error": {"code": "Unauthorized", "message": "The identity header is wrong."}}, 401)
        resource = request.query_params["resource"]
        token, ends = identity.issue(resource)
        answer = {"access_token": token, "expires_on": str(ends), "resource": resource, "token_type": "Bearer"}
        return JSONResponse(answer | {"client_id": PRINCIPAL})

    async def configuration(request: Request) -> Response:
        authority = f"{request.base_url}{request.path_params['tenant']}"
        names = {"token": "token", "authorization": "authorize"}
        endpoints = {f"{name}_endpoint": f"{authority}/oauth2/v2.0/{path}" for name, path in names.items()}
        return JSONResponse(endpoints | {"issuer": f"{authority}/v2.0"})

    async def instance(request: Request) -> Response:
        tenant = f"{request.base_url}{TENANT}/v2.0/.well-known/openid-configuration"
        host = request.url.netloc
        metadata = [{"preferred_network": host, "preferred_cache": host, "aliases": [host]}]
        return JSONResponse({"tenant_discovery_endpoint": tenant, "metadata": metadata})

    async def principal(request: Request) -> Response:
        form = dict(parse_qsl((await request.body()).decode()))
        if refused := _refused(identity, form):
            return JSONResponse({"error": "invalid_client", "error_description": refused}, 401)
        scope = form.get("scope") or form["resource"]
        token, ends = identity.issue(scope.removesuffix("/.default"))
        seconds = ends - int(time.time())
        answer = {"access_token": token, "token_type": "Bearer", "expires_in": seconds, "ext_expires_in": seconds}
        return JSONResponse(answer)

    return [
        KnownRoute("/msi/token", managed),
        KnownRoute("/common/discovery/instance", instance),
        KnownRoute("/{tenant}/v2.0/.well-known/openid-configuration", configuration),
        KnownRoute("/{tenant}/oauth2/v2.0/token", principal, methods=["POST"]),
        # AZURE_AUTHORITY_HOST ends with a slash in a pod, and the clients in Rust put another one after it.
        KnownRoute("//{tenant}/oauth2/v2.0/token", principal, methods=["POST"]),
        KnownRoute("/{tenant}/oauth2/token", principal, methods=["POST"]),
    ]


def _refused(identity: Identity, form: dict[str, str]) -> str:
    """Why a client gets no token; "" when it gets one."""
    if form.get("grant_type") != "client_credentials":
        return "AADSTS70003: The app requested an unsupported grant type."
    if form.get("client_assertion_type") == ASSERTION:
        if form.get("client_id") != PRINCIPAL:
            return (
                f"AADSTS700016: Application with identifier '{form.get('client_id')}' was not found in the directory."
            )
        return identity.refused_workload(form.get("client_assertion", ""))
    valid = form.get("client_secret") == identity.secret
    return "" if valid else "AADSTS7000215: Invalid client secret provided."
