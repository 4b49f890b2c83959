"""Which deployment answers a request, and which one scores it as well without answering."""

from collections.abc import Iterator, Mapping
from typing import TypeVar

from ml_platform.scoring.refusal import Refusal
from ml_platform.scoring.serving import Serving

T = TypeVar("T")


class Routes:
    """The deployments that are ready, and the shares of the requests that they get.

    Shares are kept exactly, not at random: of any first n requests a deployment with a minor share gets no more than
    that share. What a deployment that is not ready would get goes to the others, in their proportion.
    """

    def __init__(self, ready: Mapping[str, Serving], traffic: Mapping[str, int], mirror: Mapping[str, int]) -> None:
        self.ready = dict(ready)
        self.traffic = dict(traffic)
        self._turns = turns({serving: traffic.get(name, 0) for name, serving in self.ready.items()})
        self._shadow = next((self.ready[name] for name in mirror if name in ready), None)
        percent = sum(mirror.values())
        self._shadows = turns({self._shadow: percent, None: 100 - percent})

    @property
    def main(self) -> Serving | None:
        """The deployment with the largest share of the requests."""
        shares = {name: self.traffic.get(name, 0) for name in self.ready}
        name = max(shares, key=lambda each: shares[each], default=None)
        return self.ready[name] if name is not None and shares[name] else None

    def pick(self, pinned: bytes | None) -> Serving:
        """The deployment that answers the next request; raises Refusal 404 when there is none to answer it."""
        if pinned is None:
            serving = next(self._turns, None)
            if serving is None:
                raise Refusal(404, "no deployment has traffic")
            return serving
        name = pinned.decode("latin-1")
        if name not in self.ready:
            raise Refusal(404, f"there is no deployment {name!r} to answer")
        return self.ready[name]

    def shadow(self, answering: Serving) -> Serving | None:
        """The deployment that also scores the request that `answering` got: a share of those that others answer."""
        return None if self._shadow in (None, answering) else next(self._shadows, None)


def turns(shares: Mapping[T, int]) -> Iterator[T]:
    """Whose turn it is, without end, as often as the shares say; nothing when there are none.

    The largest share is what the others leave: one of those has its turn once a whole request is due to it.
    """
    if not any(shares.values()):
        return
    total, largest = sum(shares.values()), max(shares, key=lambda each: shares[each])
    minor = {each: share for each, share in shares.items() if share and each is not largest}
    while not minor:
        yield largest
    due = dict.fromkeys(minor, 0)
    while True:
        for each, share in minor.items():
            due[each] += share
        first = max(due, key=due.__getitem__)
        if due[first] >= total:
            due[first] -= total
            yield first
        else:
            yield largest
