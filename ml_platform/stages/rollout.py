"""Rolls a champion out: beside the old deployment, probed, in its shadow, as a canary, then in its place; or goes back.

Where a roll-out stands is read from the endpoint itself, so that a run which finds another's remains finishes them.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import msgspec

from ml_platform.core.product_endpoint import RolloutSpec, WatchSpec
from ml_platform.core.rollout import Seen, Stage, judge
from ml_platform.errors import DeploymentRefused, EndpointError, RolledBack
from ml_platform.gateways.endpoints import Counts, Deployment, EndpointDeclaration, Endpoints, EndpointState, probe
from ml_platform.gateways.registry import (
    GATE,
    ROLLED_BACK,
    ROLLOUT,
    ROLLOUT_APPROVED_BY,
    ROLLOUT_AT,
    SERVED,
    WAITING,
    Registry,
    Version,
)

COLOURS = ("blue", "green")
"""The names of deployments: a new one takes the name that is free."""

LOOK_SECONDS = 0.25

Records = Callable[[], Sequence[Mapping[str, Any]]]


@dataclass(frozen=True)
class Outcome:
    """How a roll-out ended: the version that answers requests, and what was seen on the way there."""

    status: Literal["served", "waiting"]
    state: EndpointState
    sentences: tuple[str, ...] = ()


@dataclass
class Rollout:
    """Brings a model version behind an endpoint.

    `endpoint` declares all but deployments and shares; `recorded` gives requests that the endpoint has answered before,
    for the probe; `keep` is how long the old deployment stays ready after it was replaced.
    """

    endpoints: Endpoints
    registry: Registry
    endpoint: EndpointDeclaration
    policy: RolloutSpec
    keep: timedelta
    recorded: Records = tuple
    tell: Callable[[str], None] = lambda _: None
    _stages: list[Stage] = field(default_factory=list)
    _sentences: list[str] = field(default_factory=list)

    def run(self, model: str, version: str) -> Outcome:
        """Make `version` answer all requests, or say that it waits for a person's approval.

        Raises RolledBack when the deployment before answers again instead, with the reason, and EndpointError when the
        endpoint cannot be brought anywhere at present: running it again goes on.
        """
        stable = self._stable()
        new = self._deployment(model, version, stable)
        if stable is None:
            return self._first(new)
        if stable == new:
            return self._settle(stable)
        if self.registry.get(model, version).tags.get(GATE) == ROLLED_BACK:
            raise self._back(stable, new, "it was rolled back before")
        try:
            return self._replace(stable, new)
        except DeploymentRefused as error:
            raise self._back(stable, new, str(error)) from error

    def go_back(self, model: str, person: str) -> str:
        """Put the version before back by hand, at once and without a watch; the version that answers then.

        A roll-out that is under way is ended. Raises EndpointError when there is nothing to go back to.
        """
        stable, champion = self._stable(), self.registry.champion(model)
        if stable is None or champion is None:
            raise EndpointError(f"endpoint {self.endpoint.name!r} serves nothing that could be rolled back")
        old = stable
        if stable.model_version == champion.version:
            old = self._before(stable)
            # First beside, where it must answer as its model does; then in its place.
            self._declare([stable, old], {stable.name: 100})
        new = self._deployment(model, champion.version, old)
        self._back(old, new, f"by hand, by {person}")
        return old.model_version

    def left(self, state: EndpointState) -> str:
        """What is left to do at an endpoint that no run is at work on; nothing at one that waits for a person."""
        if state.status == "stopped":
            return "the endpoint does not answer"
        if not state.settled:
            return "a roll-out was left half done"
        if state.declared.autoscale != self.endpoint.autoscale:
            return "it is not scaled as is declared"
        stable, others = state.serving, len(state.declared.deployments) - 1
        champion = self.registry.champion(stable.model_name) if stable and others else None
        if stable and champion and champion.version == stable.model_version and self._is_over(champion):
            return "the time of the old deployment is over"
        if stable and champion and champion.version != stable.model_version and _is_approved(champion):
            return "the roll-out that waited is approved"
        return ""

    def _is_over(self, served: Version) -> bool:
        """Whether the deployment that `served` has replaced need not be kept any more."""
        since = served.tags.get(ROLLOUT_AT) if served.tags.get(ROLLOUT) == SERVED else None
        return since is not None and datetime.now(UTC) - datetime.fromisoformat(since) >= self.keep

    def _stable(self) -> Deployment | None:
        """The deployment that answers most requests by declaration; its host may be down and is started again."""
        state = self.endpoints.state(self.endpoint.name)
        if state is None or not any(state.declared.traffic.values()):
            return None
        shares = state.declared.traffic
        return state.declared.deployment(max(shares, key=shares.__getitem__))

    def _deployment(self, model: str, version: str, stable: Deployment | None) -> Deployment:
        if stable and (stable.model_name, stable.model_version) == (model, version):
            return stable
        name = next(colour for colour in COLOURS if stable is None or colour != stable.name)
        return Deployment(name, model, version, str(self.registry.serving_directory(model, version)))

    def _first(self, new: Deployment) -> Outcome:
        """There is nothing to protect: a deployment that answers as its model does gets all requests."""
        return self._served(new, self._declare([new], {new.name: 100}))

    def _settle(self, stable: Deployment) -> Outcome:
        """It answers already: end what another run has left, and remove the old deployment when its time is over."""
        state = self.endpoints.state(self.endpoint.name)
        kept = [d for d in state.declared.deployments if d.name != stable.name] if state else []
        served = self.registry.get(stable.model_name, stable.model_version)
        state = self._declare([stable, *([] if self._is_over(served) else kept)], {stable.name: 100})
        return Outcome("served", state) if served.tags.get(ROLLOUT) == SERVED else self._served(stable, state)

    def _replace(self, stable: Deployment, new: Deployment) -> Outcome:
        both, all_to_old = [stable, new], {stable.name: 100}
        self._declare(both, all_to_old)
        self._probe(new)
        self._watch("shadow", stable, new, self.policy.shadow, mirrored=True)
        if self.policy.approval == "manual" and not self._approved_by(new):
            state = self._declare(both, all_to_old)
            self._record(new, WAITING)
            return Outcome("waiting", state, tuple(self._sentences))
        self._watch("canary", stable, new, self.policy.canary, mirrored=False)
        return self._served(new, self._declare([new, stable], {new.name: 100}))

    def _probe(self, new: Deployment) -> None:
        uri, key = self.endpoints.scoring_uri(self.endpoint.name), self.endpoints.keys(self.endpoint.name).primary
        asked = probe(self.endpoint, new, uri, key, self.recorded())
        self._say(f"probe: {asked} records, answered as the model does")

    def _watch(self, name: str, stable: Deployment, new: Deployment, stage: WatchSpec, *, mirrored: bool) -> None:
        """Give the new deployment its share for a while; raises DeploymentRefused as soon as it is out of bounds."""
        if not stage.seconds:
            return
        share = {new.name: stage.percent}
        traffic = {stable.name: 100} if mirrored else {stable.name: 100 - stage.percent, **share}
        declared = self._declare([stable, new], traffic, share if mirrored else {}).declared
        before, end = self.endpoints.measures(self.endpoint.name), time.monotonic() + stage.seconds
        while True:
            over = time.monotonic() >= end
            before, seen = self._since(before)
            self._expect(declared)
            found = judge(name, seen[new.name], seen[stable.name], self.policy)
            if found.reasons or over:
                break
            time.sleep(LOOK_SECONDS)
        self._stages.append(found)
        self._say(found.sentence)
        if found.reasons:
            raise DeploymentRefused(f"as {name}, {'; '.join(found.reasons)}")

    def _since(self, before: dict[str, Counts]) -> tuple[dict[str, Counts], dict[str, Seen]]:
        """What was counted since `before`, and that, begun anew where the endpoint has."""
        now = self.endpoints.measures(self.endpoint.name)
        if any(now[name].requests < before[name].requests for name in now.keys() & before.keys()):
            before = {}
        return before, {name: _seen(counts.plus(before.get(name, Counts()), -1)) for name, counts in now.items()}

    def _expect(self, declared: EndpointDeclaration) -> None:
        state = self.endpoints.state(self.endpoint.name)
        if state is None or state.declared != declared:
            raise EndpointError(
                f"somebody else has changed endpoint {self.endpoint.name!r} during a roll-out, which ends here; run it "
                "again to bring the champion behind it"
            )

    def _back(self, stable: Deployment, new: Deployment, why: str) -> RolledBack:
        """All requests to the old deployment at once; then the champion, so that nobody brings the new one again."""
        self._declare([stable], {stable.name: 100})
        self.registry.roll_back(new.model_name, new.model_version, stable.model_version, why)
        self._record(new, ROLLED_BACK, why)
        return RolledBack(
            f"version {new.model_version} of {new.model_name} was rolled back, version {stable.model_version} serves: "
            f"{why}"
        )

    def _before(self, stable: Deployment) -> Deployment:
        """The deployment that is kept beside, else one of the champion before."""
        state = self.endpoints.state(self.endpoint.name)
        for kept in state.declared.deployments if state else ():
            if kept.name != stable.name:
                return kept
        model, version = stable.model_name, stable.model_version
        before = self.registry.get(model, version).tags.get("previous_champion", "none")
        if before == "none":
            raise EndpointError(f"version {version} of {model} is its first: there is none to go back to")
        return self._deployment(model, before, stable)

    def _served(self, new: Deployment, state: EndpointState) -> Outcome:
        self._record(new, SERVED)
        return Outcome("served", state, tuple(self._sentences))

    def _declare(
        self, deployments: Sequence[Deployment], traffic: dict[str, int], mirror: Mapping[str, int] | None = None
    ) -> EndpointState:
        # In the order of their names: the same shares are the same declaration.
        ordered = tuple(sorted(deployments, key=lambda each: each.name))
        return self.endpoints.deploy(
            msgspec.structs.replace(self.endpoint, deployments=ordered, traffic=traffic, mirror=dict(mirror or {}))
        )

    def _record(self, new: Deployment, status: str, why: str = "") -> None:
        document = {
            "deployment": new.name,
            "version": new.model_version,
            "status": status,
            "reason": why,
            "approved_by": self._approved_by(new),
            "policy": self.policy.model_dump(),
            "stages": [asdict(stage) for stage in self._stages],
            "told": self._sentences,
        }
        self.registry.record_rollout(new.model_name, new.model_version, status, document)

    def _approved_by(self, new: Deployment) -> str:
        return self.registry.get(new.model_name, new.model_version).tags.get(ROLLOUT_APPROVED_BY, "")

    def _say(self, sentence: str) -> None:
        self._sentences.append(sentence)
        self.tell(sentence)


def _is_approved(waiting: Version) -> bool:
    return waiting.tags.get(ROLLOUT) == WAITING and bool(waiting.tags.get(ROLLOUT_APPROVED_BY))


def _seen(counts: Counts) -> Seen:
    return Seen(counts.requests, counts.failed, counts.within(0.9), counts.mean, counts.deviation)
