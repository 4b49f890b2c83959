"""What a place that serves models over HTTP must be able to do."""

from dataclasses import dataclass
from typing import Literal, Protocol

from ml_platform.scoring.state import Deployment, EndpointDeclaration, Keys


@dataclass(frozen=True)
class EndpointState:
    """An endpoint as it is.

    `status`: serving what is declared; refused, when the declared deployment cannot be served (`reason` says why) and
    `serving` is what answers instead, if anything; stopped, when nothing answers. `verified` says that the endpoint's
    answers to the probe equalled the model's own.
    """

    name: str
    scoring_uri: str
    status: Literal["serving", "refused", "stopped"]
    declared: Deployment
    serving: Deployment | None
    verified: bool
    reason: str = ""


class Endpoints(Protocol):
    """Brings endpoints into their declared state and tells what they are."""

    def deploy(self, declaration: EndpointDeclaration) -> EndpointState:
        """Make the endpoint what is declared and return when it is, verified by a probe.

        Deploying the same declaration again changes nothing; racing deploys end with one endpoint. Raises
        EndpointError with the reason when it cannot be done; what was served before is then still served.
        """
        ...

    def state(self, name: str) -> EndpointState | None:
        """The endpoint's state, None when there is no such endpoint."""
        ...

    def delete(self, name: str) -> None:
        """Stop the endpoint, letting requests end, and forget it with its keys; its inference log stays."""
        ...

    def keys(self, name: str) -> Keys:
        """The endpoint's keys; raises EndpointError when there is no such endpoint."""
        ...

    def scoring_uri(self, name: str) -> str:
        """Where to POST records; raises EndpointError when there is no such endpoint."""
        ...
