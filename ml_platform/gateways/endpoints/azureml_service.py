"""Asks Azure ML about its online endpoints and waits for what it does: azure-ai-ml, its errors made ours."""

import logging
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

from ml_platform.errors import EndpointError, SettingsError
from ml_platform.scoring.state import Keys

if TYPE_CHECKING:
    from azure.ai.ml import MLClient
    from azure.ai.ml.entities import ManagedOnlineDeployment, ManagedOnlineEndpoint

T = TypeVar("T")

LOG_LINES = 60
READ_AGAIN = 2
READY, SCALING, FAILED = "succeeded", "scaling", {"failed", "canceled"}
"""Provisioning states; in any other one the service is at work. One that is scaled answers all the while."""


class Busy(EndpointError):
    """The service is at work on the endpoint for somebody else: look again."""


class ProvisioningFailed(EndpointError):
    """A deployment could not be started; the message is the service's."""


class Service:
    """The online endpoints of a workspace (ARM id). `seconds` bounds each wait; `guard` is called before each change.

    Throttling, passing failures and expired tokens are the SDK's own business: what is raised here has outlasted them.
    """

    def __init__(self, workspace: str, seconds: float, guard: Callable[[], None] = lambda: None) -> None:
        self._workspace, self._seconds, self.guard = workspace, seconds, guard

    @cached_property
    def _client(self) -> "MLClient":
        from azure.ai.ml import MLClient
        from azure.ai.ml._utils import _azureml_polling
        from azure.identity import DefaultAzureCredential

        # The SDK greets with notes about preview classes, and prints a dot at each look where others read lines.
        logging.getLogger("azure.ai.ml").setLevel(logging.ERROR)
        _azureml_polling.print = lambda *_, **__: None  # pyright: ignore[reportAttributeAccessIssue]
        parts = self._workspace.strip("/").split("/")
        if len(parts) != 8:
            raise SettingsError(
                f"ML_PLATFORM_AZUREML_WORKSPACE is {self._workspace!r}: give /subscriptions/S/resourceGroups/R/"
                "providers/Microsoft.MachineLearningServices/workspaces/W"
            )
        return MLClient(DefaultAzureCredential(), parts[1], parts[3], parts[7], enable_telemetry=False)

    def endpoint(self, name: str) -> "ManagedOnlineEndpoint | None":
        """The endpoint, None when there is none."""
        from azure.core.exceptions import ResourceNotFoundError

        with self._told(name):
            try:
                return self._client.online_endpoints.get(name)  # pyright: ignore[reportReturnType]
            except ResourceNotFoundError:
                return None

    def deployments(self, name: str) -> "list[ManagedOnlineDeployment]":
        """Its deployments, half-made and failed ones too."""
        from azure.core.exceptions import ResourceNotFoundError

        with self._told(name):
            try:
                return list(self._client.online_deployments.list(name))  # pyright: ignore
            except ResourceNotFoundError:
                return []

    def put_endpoint(self, endpoint: "ManagedOnlineEndpoint") -> None:
        """Create an endpoint or change its traffic; raises Busy."""
        self._do(str(endpoint.name), lambda: self._client.online_endpoints.begin_create_or_update(endpoint))

    def put_deployment(self, deployment: "ManagedOnlineDeployment") -> None:
        """Create or replace a deployment and wait until it runs; raises ProvisioningFailed or Busy."""
        from azure.core.exceptions import HttpResponseError

        what = f"{deployment.endpoint_name}/{deployment.name}"
        self.guard()
        with self._told(what):
            poller = self._client.online_deployments.begin_create_or_update(deployment)
            try:
                self._wait(what, poller)
            except HttpResponseError as error:
                raise ProvisioningFailed(said(error)) from error

    def delete_deployment(self, endpoint: str, name: str) -> None:
        """Remove a deployment; requests that it has begun end."""
        what = f"{endpoint}/{name}"
        self._do(what, lambda: self._client.online_deployments.begin_delete(name, endpoint))

    def delete_endpoint(self, name: str) -> None:
        """Remove an endpoint with its deployments."""
        self._do(name, lambda: self._client.online_endpoints.begin_delete(name))

    def delete_monitor(self, name: str) -> None:
        """Remove the schedule of an endpoint's monitor; there may be none."""
        self._do(name, lambda: self._client.schedules.begin_delete(name))

    def logs(self, endpoint: str, deployment: str) -> str:
        """The last lines that a deployment's container wrote."""
        with self._told(f"{endpoint}/{deployment}"):
            return _read_again(lambda: self._client.online_deployments.get_logs(deployment, endpoint, LOG_LINES))

    def keys(self, name: str) -> Keys:
        """The keys of an endpoint that is there."""
        with self._told(name):
            found: Any = _read_again(lambda: self._client.online_endpoints.get_keys(name))
            return Keys(found.primary_key, found.secondary_key)

    def _do(self, what: str, begin: Callable[[], Any]) -> None:
        from azure.core.exceptions import ResourceNotFoundError

        self.guard()
        with self._told(what):
            try:
                self._wait(what, begin())
            except ResourceNotFoundError:
                # What was to be deleted is gone; to be changed, it is missed at the next look.
                return

    def _wait(self, what: str, poller: Any) -> None:
        poller.wait(self._seconds)
        if not poller.done():
            raise EndpointError(
                f"{what}: Azure ML was not done after {self._seconds:.0f} s; it goes on, deploy again to take it up"
            )

    def _told(self, what: str) -> AbstractContextManager[None]:
        return told("Azure ML", what, f"give that identity the role AzureML Data Scientist on {self._workspace}")


@contextmanager
def told(service: str, what: str, forbidden: str) -> Iterator[None]:
    """Raise what `service` will not or cannot do with `what`, as Busy or EndpointError; `forbidden` mends a 403."""
    from azure.ai.ml.exceptions import MlException
    from azure.core.exceptions import AzureError, HttpResponseError

    again = "deploy again to go on from there"
    try:
        yield
    except HttpResponseError as error:
        if error.status_code == 409:
            raise Busy(f"{what}: {said(error)}") from error
        remedy = {401: "see whom the environment signs in as", 403: forbidden}.get(error.status_code or 0, again)
        raise EndpointError(f"{service} refused {what}: {said(error)}; {remedy}") from error
    except (AzureError, MlException) as error:
        raise EndpointError(f"{service}, {what}: {str(error)[:500]}; {again}") from error


def _read_again(read: Callable[[], T]) -> T:
    """What `read` gives: azure-core repeats no POST whose answer was lost, though some only read."""
    from azure.core.exceptions import ServiceResponseError

    for _ in range(READ_AGAIN):
        with suppress(ServiceResponseError):
            return read()
    return read()


def state_of(resource: Any) -> str:
    """The provisioning state of an endpoint or a deployment, in small letters."""
    state = resource.provisioning_state
    return str(getattr(state, "value", state) or "").lower()


def said(error: Any) -> str:
    """The service's code and message."""
    code = getattr(error.error, "code", None) or error.status_code
    message = getattr(error.error, "message", None) or error.message
    return f"{code}: {message}"[:1000]
