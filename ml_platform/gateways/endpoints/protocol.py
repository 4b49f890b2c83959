"""What a place that serves models over HTTP must be able to do."""

from dataclasses import dataclass, field
from typing import Literal, Protocol

from ml_platform.scoring.measures import Counts
from ml_platform.scoring.state import Deployment, EndpointDeclaration, Keys


@dataclass(frozen=True)
class EndpointState:
    """An endpoint as it is.

    `status`: serving all that is declared; refused, when some deployment cannot be served (`refused` says by its name
    why, the others answer); stopped, when nothing answers.
    """

    name: str
    scoring_uri: str
    status: Literal["serving", "refused", "stopped"]
    declared: EndpointDeclaration
    refused: dict[str, str] = field(default_factory=dict)

    @property
    def settled(self) -> bool:
        """Whether one deployment is to answer all requests, unaccompanied: no roll-out is under way or was left."""
        return max(self.declared.traffic.values(), default=0) == 100 and not self.declared.mirror

    @property
    def serving(self) -> Deployment | None:
        """The deployment that answers most requests, None when nothing answers."""
        shares = {} if self.status == "stopped" else self.declared.traffic
        answering = {name: share for name, share in shares.items() if share and name not in self.refused}
        return self.declared.deployment(max(answering, key=answering.__getitem__)) if answering else None


class Endpoints(Protocol):
    """Brings endpoints into their declared state and tells what they are."""

    def deploy(self, declaration: EndpointDeclaration) -> EndpointState:
        """Make the endpoint what is declared and return when it is: each deployment answers as its model does.

        Deployments and shares that are declared already stay untouched, requests go on. Deploying the same declaration
        again changes nothing; racing deploys end with one endpoint. Raises EndpointError with the reason when it cannot
        be done; the deployments that were served before and are still declared are then still served.
        """
        ...

    def state(self, name: str) -> EndpointState | None:
        """The endpoint's state, None when there is no such endpoint."""
        ...

    def measures(self, name: str) -> dict[str, Counts]:
        """What each declared deployment has answered and mirrored since it was deployed, by its name.

        The counts begin again at 0 when the endpoint itself does.
        """
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
