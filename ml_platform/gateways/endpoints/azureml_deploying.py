"""One look at an endpoint in the cloud, and what is done so that it becomes what is declared."""

import logging
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ml_platform.errors import DeploymentRefused, EndpointError
from ml_platform.gateways.endpoints.azureml_autoscale import AutoscaleSettings
from ml_platform.gateways.endpoints.azureml_deployment import AUTOSCALE_TAG, Hosting, is_equal, tags_of
from ml_platform.gateways.endpoints.azureml_lake import EndpointDocuments
from ml_platform.gateways.endpoints.azureml_service import (
    FAILED,
    READY,
    SCALING,
    Busy,
    ProvisioningFailed,
    Service,
    state_of,
)
from ml_platform.gateways.endpoints.azureml_shares import Switch
from ml_platform.gateways.endpoints.probe import probe
from ml_platform.gateways.endpoints.protocol import EndpointState
from ml_platform.scoring.state import Deployment, EndpointDeclaration

if TYPE_CHECKING:
    from azure.ai.ml.entities import ManagedOnlineDeployment, ManagedOnlineEndpoint

_REFUSED = re.compile(r"the deployment '[^']*' is refused: (.*)")
_TAIL = 3000

logger = logging.getLogger(__name__)


@dataclass
class Deploying:
    """Makes an endpoint what `declaration` says. It may be run again, after Busy or a crash: it looks first.

    Nothing that answers callers is touched before what takes its place answers as its model does; but for a deployment
    of the same name, which the service replaces instance by instance.
    """

    declaration: EndpointDeclaration
    hosting: Hosting
    lake: str
    service: Service
    documents: EndpointDocuments
    settings: AutoscaleSettings
    state: Callable[[], EndpointState | None]

    def run(self) -> None:
        """Look and act; raises Busy, DeploymentRefused and other EndpointErrors."""
        endpoint = self._endpoint()
        there = {str(each.name): each for each in self.service.deployments(self._name)}
        if at_work := [name for name, each in there.items() if state_of(each) not in {READY, SCALING, *FAILED}]:
            raise Busy(f"endpoint {self.declaration.name!r}: Azure ML is at work on {at_work}")
        before = self.state()
        self._begin_scaling(endpoint, set(there))
        for deployment in self.declaration.deployments:
            self._bring(deployment, endpoint, there.get(deployment.name), before)
        self._probe(str(endpoint.scoring_uri))
        switch = Switch(self.documents, self._instances, self._put)
        switch.to(self.declaration, endpoint.traffic, endpoint.mirror_traffic)
        self._scale(str(endpoint.location))
        undeclared = set(there) - {each.name for each in self.declaration.deployments}
        for name in sorted(undeclared):
            self.service.delete_deployment(self._name, name)
            self.documents.forget(name)
        # Last: until they have ended they may be answering.
        switch.forget(undeclared)

    @property
    def _name(self) -> str:
        return self.hosting.endpoint_name(self.declaration.name)

    def _endpoint(self) -> "ManagedOnlineEndpoint":
        """The endpoint, made where it is not there or was half made."""
        found = self.service.endpoint(self._name)
        if found is None or state_of(found) in FAILED:
            self._put({}, {}, found.tags if found else None)
            found = self.service.endpoint(self._name)
        if found is None or state_of(found) != READY:
            raise Busy(f"endpoint {self.declaration.name!r} is {state_of(found) if found else 'not there'}")
        return found

    def _begin_scaling(self, endpoint: "ManagedOnlineEndpoint", there: set[str]) -> None:
        """Let the endpoint tell of scaling before there is a setting, and as long as there is one.

        So by the endpoint alone it is known whether settings are to be looked for, which takes rights of its own.
        """
        declared = tags_of(self.declaration).get(AUTOSCALE_TAG)
        if (endpoint.tags or {}).get(AUTOSCALE_TAG) != declared:
            self.settings.keep(there if declared else set())
            self._put(endpoint.traffic, endpoint.mirror_traffic)

    def _scale(self, region: str) -> None:
        """Scale the deployment that answers more than half of the requests.

        The others keep as many instances as they have: one that is kept can take all requests back at once, and one
        that is watched, which begins with as many as the main one has, can take all of them over.
        """
        declared = self.declaration
        if declared.autoscale is None:
            return
        if main := next((name for name, share in declared.traffic.items() if share > 50), ""):
            self.settings.scale(main, declared.autoscale, region, declared.name)
        else:
            self.settings.keep(set())

    def _put(
        self, traffic: Mapping[str, int], mirror: Mapping[str, int], tags: Mapping[str, str] | None = None
    ) -> None:
        from azure.ai.ml.entities import IdentityConfiguration, ManagedIdentityConfiguration, ManagedOnlineEndpoint

        own = self.hosting.identity
        identities = [ManagedIdentityConfiguration(resource_id=own)] if own else None
        kind = "user_assigned" if own else "system_assigned"
        self.service.put_endpoint(
            ManagedOnlineEndpoint(
                name=self._name,
                auth_mode="key",
                identity=IdentityConfiguration(type=kind, user_assigned_identities=identities),
                tags=dict(tags or tags_of(self.declaration)),
                traffic=dict(traffic),
                mirror_traffic=dict(mirror),
            )
        )

    def _bring(
        self,
        deployment: Deployment,
        endpoint: "ManagedOnlineEndpoint",
        present: "ManagedOnlineDeployment | None",
        before: EndpointState | None,
    ) -> None:
        wanted = self.hosting.deployment(self.declaration, deployment, self.lake, _client_id(endpoint))
        if self.declaration.autoscale and present:
            wanted.instance_count = present.instance_count
        if present and state_of(present) in (READY, SCALING) and is_equal(present, wanted):
            return
        if present and state_of(present) in FAILED and not endpoint.traffic.get(deployment.name):
            self.service.delete_deployment(self._name, deployment.name)
            present = None
        if scaled := self.declaration.autoscale:
            counts = {str(each.name): each.instance_count or 1 for each in self.service.deployments(self._name)}
            # A setting that was left would scale what is made under its name.
            self.settings.keep(set(counts))
            main = max(sorted(counts), key=lambda name: endpoint.traffic.get(name, 0), default="")
            wanted.instance_count = scaled.within(counts.get(deployment.name, counts.get(main, 1)))
        try:
            self.service.put_deployment(wanted)
        except ProvisioningFailed as error:
            tail = self.service.logs(self._name, deployment.name)[-_TAIL:]
            self._undo(deployment.name, present)
            raise self._failed(deployment, error, tail, before) from error

    def _undo(self, name: str, present: "ManagedOnlineDeployment | None") -> None:
        """Leave what was served before, and nothing half made."""
        if present and state_of(present) == READY:
            self.service.put_deployment(present)
        elif not present:
            self.service.delete_deployment(self._name, name)
            self.documents.forget(name)

    def _failed(
        self, deployment: Deployment, error: Exception, tail: str, before: EndpointState | None
    ) -> EndpointError:
        """Only what the container says of its model is the model's fault, for which a version is sent back."""
        served = before.declared.deployments if before else ()
        now = ", ".join(f"version {each.model_version} of {each.model_name}" for each in served)
        still = f"{now} is still served" if served else "nothing is served"
        where = f"endpoint {self.declaration.name!r}"
        if found := _REFUSED.search(tail):
            return DeploymentRefused(f"{where}: {found[1]}; {still}")
        return EndpointError(
            f"{where}: {deployment.name!r} could not be started: {error}; {still}. Its log ends with:\n{tail}"
        )

    def _probe(self, uri: str) -> None:
        key = self.service.keys(self._name).primary
        for deployment in self.declaration.deployments:
            probe(self.declaration, deployment, uri, key)

    def _instances(self) -> dict[str, int]:
        """How many each deployment has at least: one that is being scaled tells how many it will have."""
        there = self.service.deployments(self._name)
        return {str(each.name): 1 if state_of(each) == SCALING else each.instance_count or 1 for each in there}


def _client_id(endpoint: Any) -> str:
    """Of the identity that the endpoint was given; nothing where it has its own alone."""
    identities = getattr(endpoint.identity, "user_assigned_identities", None) or []
    # azure-ai-ml puts what the service says beside its own attribute, under the service's name.
    found = (each.client_id or vars(each).get("clientId") for each in identities)
    return next((str(client_id) for client_id in found if client_id), "")
