"""Says a declared deployment in the terms of Azure ML, and reads it back from what the service holds."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from dbx_jobs.online_contract import PASSWORD_VARIABLE
from ml_platform.errors import EndpointError
from ml_platform.scoring.container_contract import (
    BEHIND,
    BEHIND_VARIABLE,
    DECLARATION_VARIABLE,
    PORT,
    PORT_VARIABLE,
    Contained,
)
from ml_platform.scoring.state import Autoscale, Deployment, EndpointDeclaration

if TYPE_CHECKING:
    from azure.ai.ml.entities import ManagedOnlineDeployment

TAG = "ml_platform_endpoint"
"""Of an endpoint: its name here."""
AUTOSCALE_TAG = "ml_platform_autoscale"
"""Of an endpoint: the Autoscale that is declared, as JSON; absent where no setting of Azure Monitor can be ours."""
CLIENT_VARIABLE = "AZURE_CLIENT_ID"
"""By which azure-identity chooses among the identities of a container."""
REQUEST_SECONDS = 10
MAX_MIRROR = 50

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")
_ASSET = re.compile(r"(?:^azureml:|/)([^/:]+)(?:/versions/|:)([^/:]+)$")


@dataclass(frozen=True)
class Hosting:
    """On what endpoints run: the workspace's ARM id, the environment (azureml:NAME:VERSION) whose image holds the
    scoring server, the machines, the ARM id of the identity that may read and write the lake ("": the endpoint's), and
    what the service replaces by the password of a Redis ("": containers log in to it as that identity).
    """

    workspace: str
    environment: str
    instance_type: str = "Standard_DS3_v2"
    instances: int = 1
    identity: str = ""
    store_secret: str = ""

    def endpoint_name(self, name: str) -> str:
        """The service's name of an endpoint: unique in a region, up to 32 letters, digits and hyphens."""
        if not _NAME.fullmatch(name):
            raise EndpointError(
                f"the name {name!r} must begin with a letter and have only letters, digits, '_' and '-'"
            )
        own = sha256(f"{self.workspace.lower()} {name}".encode()).hexdigest()[:6]
        return f"{name.replace('_', '-')[:25].rstrip('-')}-{own}"

    def monitor_name(self, name: str) -> str:
        """The name of the schedule by which Azure ML's own monitor watches an endpoint."""
        return f"{self.endpoint_name(name)}-monitor"

    def deployment(
        self, declaration: EndpointDeclaration, deployment: Deployment, lake: str, client_id: str
    ) -> "ManagedOnlineDeployment":
        """What the service is asked to run."""
        from azure.ai.ml.entities import ManagedOnlineDeployment, OnlineRequestSettings, ProbeSettings

        variables = {
            DECLARATION_VARIABLE: msgspec.json.encode(contained_of(declaration, deployment, lake)).decode(),
            BEHIND_VARIABLE: BEHIND,
            PORT_VARIABLE: str(PORT),
            **({CLIENT_VARIABLE: client_id} if client_id else {}),
            **self._password(declaration),
        }
        # A container that ends is seen at once; the time is for images and models that take long.
        probe = ProbeSettings(initial_delay=5, period=5, timeout=2, success_threshold=1, failure_threshold=60)
        return ManagedOnlineDeployment(
            name=deployment.name,
            endpoint_name=self.endpoint_name(declaration.name),
            model=f"azureml:{deployment.model_name}:{deployment.model_version}",
            environment=f"azureml:{self.environment.removeprefix('azureml:')}",
            environment_variables=variables,
            instance_type=self.instance_type,
            instance_count=self.instances,
            request_settings=OnlineRequestSettings(
                max_concurrent_requests_per_instance=declaration.max_concurrent_requests * declaration.workers,
                request_timeout_ms=REQUEST_SECONDS * 1000,
            ),
            liveness_probe=probe,
            readiness_probe=probe,
            tags={TAG: declaration.name, "model": f"{deployment.model_name}:{deployment.model_version}"},
        )

    def _password(self, declaration: EndpointDeclaration) -> dict[str, str]:
        """The variable with the reference to it, only where something is looked up in a Redis."""
        store = declaration.online.store_uri if declaration.online else ""
        needed = self.store_secret and store.startswith(("redis://", "rediss://"))
        return {PASSWORD_VARIABLE: self.store_secret} if needed else {}


def contained_of(declaration: EndpointDeclaration, deployment: Deployment, lake: str) -> Contained:
    """What the container of a deployment is told: of the endpoint only what is its own."""
    alone = msgspec.structs.replace(deployment, serving_dir="")
    endpoint = msgspec.structs.replace(
        declaration, deployments=(alone,), traffic={deployment.name: 100}, mirror={}, autoscale=None
    )
    return Contained(endpoint, lake)


def tags_of(declaration: EndpointDeclaration) -> dict[str, str]:
    """The tags of an endpoint: what of its declaration none of its deployments is told."""
    scaled = declaration.autoscale
    return {
        TAG: declaration.name,
        **({AUTOSCALE_TAG: msgspec.json.encode(scaled).decode()} if scaled else {}),
    }


def autoscale_in(tags: Mapping[str, str] | None) -> Autoscale | None:
    """What an endpoint's tags say; None also where somebody has written something else there."""
    try:
        return msgspec.json.decode((tags or {}).get(AUTOSCALE_TAG, ""), type=Autoscale)
    except msgspec.DecodeError:
        return None


def is_equal(one: "ManagedOnlineDeployment", other: "ManagedOnlineDeployment") -> bool:
    """Whether two deployments run the same in the same way."""
    return _facts(one) == _facts(other)


def _facts(deployment: "ManagedOnlineDeployment") -> tuple[object, ...]:
    variables = dict(deployment.environment_variables or {})
    told = contained_in(variables)
    variables.pop(DECLARATION_VARIABLE, None)
    settings = deployment.request_settings
    return (
        told,
        variables,
        asset(str(deployment.model)),
        asset(str(deployment.environment)),
        (deployment.instance_type or "").lower(),
        deployment.instance_count,
        settings.max_concurrent_requests_per_instance if settings else None,
    )


def asset(reference: str) -> tuple[str, str]:
    """Name and version of an asset, by its ARM id or azureml:NAME:VERSION."""
    found = _ASSET.search(reference)
    return (found[1], found[2]) if found else (reference, "")


def contained_in(variables: Mapping[str, str]) -> Contained | None:
    """What a deployment's container was told; None where somebody else has made it."""
    try:
        return msgspec.json.decode(variables.get(DECLARATION_VARIABLE, ""), type=Contained)
    except msgspec.DecodeError:
        return None


def restored(
    name: str,
    deployments: Sequence["ManagedOnlineDeployment"],
    traffic: Mapping[str, int],
    mirror: Mapping[str, int],
    models: Path,
) -> EndpointDeclaration:
    """The declaration that the service's resources say; `models` has the serving directories by model and version.

    What all deployments have in common is taken from the one with most of the requests.
    """
    told = {str(each.name): found for each in deployments if (found := contained_in(each.environment_variables or {}))}
    shares = {each: share for each, share in traffic.items() if share and each in told}
    mirrored = {each: share for each, share in mirror.items() if share and each in told}
    if not told:
        return EndpointDeclaration(name, (), {}, (), "")
    main = max(sorted(told), key=lambda each: shares.get(each, 0))
    found = [told[each].deployment for each in sorted(told)]
    placed = [
        msgspec.structs.replace(each, serving_dir=str(models / each.model_name / each.model_version)) for each in found
    ]
    # A crash can leave shares of a deployment that is not there any more: nobody answers by such traffic.
    whole = shares if sum(shares.values()) in (0, 100) else {main: 100}
    return msgspec.structs.replace(
        told[main].endpoint, deployments=tuple(placed), traffic=whole, mirror=mirrored if whole else {}
    )
