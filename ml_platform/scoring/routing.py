"""Which deployment answers a request, and which one scores it as well without answering."""

from collections.abc import Mapping
from itertools import cycle

from ml_platform.scoring.refusal import Refusal
from ml_platform.scoring.serving import Serving


class Routes:
    """The deployments that are ready, and the shares of the requests that they get.

    Shares are kept exactly, not at random: of any first n requests a deployment with a minor share gets no more than
    that share. What a deployment that is not ready would get goes to the others, in their proportion.
    """

    def __init__(self, ready: Mapping[str, Serving], traffic: Mapping[str, int], mirror: Mapping[str, int]) -> None:
        self.ready = dict(ready)
        self.traffic = dict(traffic)
        self._turns = cycle([self.ready[name] for name in turns({n: s for n, s in traffic.items() if n in ready})])
        self._mirrors = cycle(_mirrors({n: s for n, s in mirror.items() if n in ready}))

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
        """The deployment that also scores the request that `answering` got, if it is one that is mirrored."""
        name = next(self._mirrors, None)
        return self.ready[name] if name is not None and self.ready[name] is not answering else None


def turns(shares: Mapping[str, int]) -> list[str]:
    """The names in the order in which they take turns, as often as their shares say."""
    shares = {name: share for name, share in shares.items() if share}
    total, counts = sum(shares.values()), dict.fromkeys(shares, 0)
    order: list[str] = []
    if not shares:
        return order
    largest = max(shares, key=lambda name: shares[name])
    for place in range(1, total + 1):
        owed = {name: shares[name] * place / total - counts[name] for name in shares}
        due = max((name for name in owed if name != largest and owed[name] >= 1), key=owed.__getitem__, default=largest)
        counts[due] += 1
        order.append(due)
    return order


def _mirrors(mirror: Mapping[str, int]) -> list[str | None]:
    for name, percent in mirror.items():
        return [each or None for each in turns({name: percent, "": 100 - percent})]
    return []
