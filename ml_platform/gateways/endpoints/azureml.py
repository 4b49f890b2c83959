"""Endpoints in the cloud: managed online endpoints of Azure ML, whose containers run the same scoring server."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from ml_platform.errors import EndpointError, SettingsError
from ml_platform.gateways.endpoints.azureml_autoscale import AutoscaleSettings
from ml_platform.gateways.endpoints.azureml_deploying import Deploying
from ml_platform.gateways.endpoints.azureml_deployment import (
    AUTOSCALE_TAG,
    MAX_MIRROR,
    Hosting,
    autoscale_in,
    restored,
)
from ml_platform.gateways.endpoints.azureml_lake import EndpointDocuments, Lease
from ml_platform.gateways.endpoints.azureml_service import FAILED, Busy, Service, state_of
from ml_platform.gateways.endpoints.protocol import EndpointState
from ml_platform.scoring.measures import Counts
from ml_platform.scoring.state import EndpointDeclaration, Keys

if TYPE_CHECKING:
    from azure.ai.ml.entities import ManagedOnlineDeployment, ManagedOnlineEndpoint

BUSY_SECONDS = 2.0


class AzureEndpoints:
    """Managed online endpoints on `hosting`, that log and count into the lake (abfss://).

    `models` is where the registry keeps serving directories by model and version; `seconds` is how long a deploy may
    wait for Azure ML. Which endpoint is which, and what it is, is read from the service: nothing is kept here.
    """

    def __init__(self, hosting: Hosting, lake: str, models: Path, seconds: float = 1800.0) -> None:
        if not lake.startswith("abfss://"):
            raise SettingsError(
                f"ML_PLATFORM_LAKE_URI is {lake!r}: endpoints of Azure ML log into abfss://CONTAINER@ACCOUNT.dfs.core."
                "windows.net"
            )
        if not hosting.environment:
            raise SettingsError(
                "ML_PLATFORM_AZUREML_SCORING_ENVIRONMENT is empty: name the environment with the scoring server's "
                "image, azureml:NAME:VERSION"
            )
        self._hosting, self._lake, self._models, self._seconds = hosting, lake, models.absolute(), seconds
        self._service = Service(hosting.workspace, seconds)

    def deploy(self, declaration: EndpointDeclaration) -> EndpointState:
        """See Endpoints.deploy."""
        self._hosting.endpoint_name(declaration.name)
        if max(declaration.mirror.values(), default=0) > MAX_MIRROR:
            raise EndpointError(
                f"endpoint {declaration.name!r} mirrors {declaration.mirror}: a managed endpoint mirrors at most "
                f"{MAX_MIRROR} percent; declare so much for the shadow"
            )
        documents = EndpointDocuments(self._lake, declaration.name)
        with documents.locked(self._seconds) as lease:
            _when_free(self._deploying(declaration, documents, lease).run, self._seconds)
        state = self.state(declaration.name)
        if state is None:
            raise EndpointError(f"endpoint {declaration.name!r} was deleted while it was deployed")
        return state

    def state(self, name: str) -> EndpointState | None:
        """See Endpoints.state."""
        there = self._hosting.endpoint_name(name)
        endpoint = self._service.endpoint(there)
        return self._state(name, endpoint, self._service.deployments(there)) if endpoint else None

    def measures(self, name: str) -> dict[str, Counts]:
        """See Endpoints.measures."""
        state = self.state(name)
        if state is None:
            raise self._absent(name)
        documents = EndpointDocuments(self._lake, name)
        return {each.name: documents.counts(each.name, each.counted_as) for each in state.declared.deployments}

    def delete(self, name: str) -> None:
        """See Endpoints.delete."""
        there, documents = self._hosting.endpoint_name(name), EndpointDocuments(self._lake, name)
        with documents.locked(self._seconds) as lease:
            service = Service(self._hosting.workspace, self._seconds, lease.check)
            if endpoint := service.endpoint(there):
                # Nobody is sent to a container any more that is about to end.
                endpoint.traffic, endpoint.mirror_traffic = {}, {}
                _when_free(lambda: service.put_endpoint(endpoint), self._seconds)
                if AUTOSCALE_TAG in (endpoint.tags or {}):
                    # They outlive what they scale.
                    settings = AutoscaleSettings(self._hosting.workspace, there, lease.check)
                    _when_free(lambda: settings.keep(set()), self._seconds)
                # Before the endpoint: a monitor of what is gone would fail each day, and cost.
                _when_free(lambda: service.delete_monitor(self._hosting.monitor_name(name)), self._seconds)
                _when_free(lambda: service.delete_endpoint(there), self._seconds)
            documents.forget()

    def keys(self, name: str) -> Keys:
        """See Endpoints.keys."""
        there = self._hosting.endpoint_name(name)
        if self._service.endpoint(there) is None:
            raise self._absent(name)
        return self._service.keys(there)

    def scoring_uri(self, name: str) -> str:
        """See Endpoints.scoring_uri."""
        endpoint = self._service.endpoint(self._hosting.endpoint_name(name))
        if endpoint is None:
            raise self._absent(name)
        return str(endpoint.scoring_uri)

    def _deploying(self, declaration: EndpointDeclaration, documents: EndpointDocuments, lease: Lease) -> Deploying:
        service = Service(self._hosting.workspace, self._seconds, lease.check)
        settings = AutoscaleSettings(
            self._hosting.workspace, self._hosting.endpoint_name(declaration.name), lease.check
        )
        return Deploying(
            declaration, self._hosting, self._lake, service, documents, settings, lambda: self.state(declaration.name)
        )

    def _absent(self, name: str) -> EndpointError:
        workspace = self._hosting.workspace.rsplit("/", 1)[-1]
        return EndpointError(f"there is no endpoint {name!r} in the workspace {workspace}; deploy it first")

    def _state(
        self, name: str, endpoint: "ManagedOnlineEndpoint", deployments: "list[ManagedOnlineDeployment]"
    ) -> EndpointState:
        declared = msgspec.structs.replace(
            restored(name, deployments, endpoint.traffic, endpoint.mirror_traffic, self._models),
            autoscale=autoscale_in(endpoint.tags),
        )
        refused = {
            str(each.name): f"its provisioning state is {each.provisioning_state}"
            for each in deployments
            if state_of(each) in FAILED
        }
        answering = [n for n, share in declared.traffic.items() if share and n not in refused]
        alive = state_of(endpoint) not in FAILED and answering
        return EndpointState(
            name=name,
            scoring_uri=str(endpoint.scoring_uri or ""),
            status="stopped" if not alive else "refused" if refused else "serving",
            declared=declared,
            refused=refused,
        )


def _when_free(act: Callable[[], None], seconds: float) -> None:
    """Act once the service is not at work for somebody else any more."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            act()
            return
        except Busy as error:
            if time.monotonic() > deadline:
                raise EndpointError(f"{error}; it did not end in {seconds:.0f} s") from error
            time.sleep(BUSY_SECONDS)
