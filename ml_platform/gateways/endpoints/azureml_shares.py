"""Changes who gets which requests so that each answer a caller gets is logged, and no answer that nobody gets.

The front end of Azure ML does not mark the requests that it mirrors: a container knows by its role (`Roles`, which it
reads each second) whether callers get its answers. A deployment never answers and shadows at the same time. So

1. before it answers: its mirror is taken away, the last mirrored requests are waited for, it is given the role, and all
   its instances must follow that; only then it gets traffic;
2. before it shadows: its traffic is taken away, the last answers are waited for, the role is taken from it, and all its
   instances must follow that; only then requests are mirrored to it.

A change that is killed anywhere leaves one of these states, from which the next one goes on.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from ml_platform.errors import EndpointError
from ml_platform.gateways.endpoints.azureml_lake import LOOK_SECONDS, EndpointDocuments
from ml_platform.scoring.container_contract import Roles, Told
from ml_platform.scoring.state import Deployment, EndpointDeclaration

FOLLOW_SECONDS = 60.0
"""For all instances to follow a role, which they read each second."""
QUIET_BEATS = 2
"""Looks of each instance, a second apart, in which it is asked nothing."""
QUIET_SECONDS = 30.0
"""For requests that are on their way to a deployment that gets none any more: the front end gives them 10 s."""

Shares = Callable[[Mapping[str, int], Mapping[str, int]], None]
"""Makes traffic and mirror the endpoint's."""


@dataclass
class Switch:
    """Changes the shares of one endpoint; `count` says how many instances each of its deployments has."""

    documents: EndpointDocuments
    count: Callable[[], Mapping[str, int]]
    put: Shares
    _instances: Mapping[str, int] = field(init=False)

    def __post_init__(self) -> None:
        self._instances = self.count()

    def to(self, declared: EndpointDeclaration, traffic: Mapping[str, int], mirror: Mapping[str, int]) -> None:
        """From the present `traffic` and `mirror` to those that are declared."""
        traffic, mirror = _shares(traffic), _shares(mirror)
        wanted, mirrored = _shares(declared.traffic), _shares(declared.mirror)
        if mirror and mirror != mirrored:
            self.put(traffic, {})
            self._await_quiet(declared, mirror)
            mirror = {}
        self._give(declared, wanted)
        answering = {name for name in mirrored if name in self.documents.roles().serving}
        if traffic != wanted or (mirror != mirrored and not answering):
            self.put(wanted, {} if answering else mirrored)
        if answering:
            self._await_quiet(declared, mirrored)
            self._take(declared, answering)
            self.put(wanted, mirrored)

    def forget(self, names: set[str]) -> None:
        """Take the role from deployments that are not there any more."""
        roles = self.documents.roles()
        if names & set(roles.serving):
            self._write(roles, set(roles.serving) - names)

    def _give(self, declared: EndpointDeclaration, wanted: Mapping[str, int]) -> None:
        roles = self.documents.roles()
        if set(wanted) - set(roles.serving):
            roles = self._write(roles, {*roles.serving, *wanted})
        # Also where they have it: who gave it may have been killed before all followed.
        self._await_followed(declared, set(wanted), roles)

    def _take(self, declared: EndpointDeclaration, names: set[str]) -> None:
        roles = self.documents.roles()
        self._await_followed(declared, names, self._write(roles, set(roles.serving) - names))

    def _write(self, roles: Roles, serving: set[str]) -> Roles:
        written = Roles(roles.generation + 1, tuple(sorted(serving)))
        self.documents.write_roles(written)
        return written

    def _await_followed(self, declared: EndpointDeclaration, names: set[str], roles: Roles) -> None:
        for deployment in _of(declared, names):

            def following(deployment: Deployment = deployment) -> int:
                told = self._told(deployment).values()
                return sum(each.roles >= roles.generation for each in told)

            deadline = time.monotonic() + FOLLOW_SECONDS
            while (count := following()) < self._instances[deployment.name]:
                if time.monotonic() > deadline:
                    # Autoscaling may have removed some.
                    self._instances = self.count()
                    if count >= self._instances.get(deployment.name, 0):
                        break
                    raise EndpointError(
                        f"endpoint {declared.name!r}: of {deployment.name!r} {count} of "
                        f"{self._instances[deployment.name]} instances follow their role in the lake: what they answer "
                        "would not be logged. See in the deployment's log whether its identity may read and write the "
                        "lake, then deploy again"
                    )
                time.sleep(LOOK_SECONDS)

    def _await_quiet(self, declared: EndpointDeclaration, names: Mapping[str, int]) -> None:
        """Wait until every instance says at QUIET_BEATS looks that nothing was asked of it any more.

        An instance that says nothing is waited for no longer than requests can be on their way.
        """
        for deployment in _of(declared, set(names)):
            deadline, marks = time.monotonic() + QUIET_SECONDS, self._told(deployment)
            while time.monotonic() < deadline:
                time.sleep(LOOK_SECONDS)
                now = self._told(deployment)
                if _asked(now) != _asked(marks):
                    marks = now
                still = [name for name, told in now.items() if told.beat - _beat(marks, name) >= QUIET_BEATS]
                if len(still) >= self._instances[deployment.name]:
                    break

    def _told(self, deployment: Deployment) -> dict[str, Told]:
        return self.documents.told(deployment.name, deployment.counted_as)


def _shares(shares: Mapping[str, int]) -> dict[str, int]:
    return {name: share for name, share in shares.items() if share}


def _of(declared: EndpointDeclaration, names: set[str]) -> list[Deployment]:
    return [each for each in declared.deployments if each.name in names]


def _asked(told: Mapping[str, Told]) -> int:
    counted = [role for each in told.values() for role in (each.measures.live, each.measures.shadow)]
    return sum(counts.requests for role in counted for counts in role.values())


def _beat(told: Mapping[str, Told], name: str) -> int:
    return told[name].beat if name in told else 0
