"""Judges a new deployment against the one that serves: failures, time and predictions of the same stretch."""

from dataclasses import dataclass

from ml_platform.core.product_endpoint import RolloutSpec


@dataclass(frozen=True)
class Seen:
    """What a deployment did in a stage: requests, those that its model failed, the processor time (seconds) that nine
    of ten requests stayed below, and the mean and the standard deviation of its predictions.
    """

    requests: int
    failed: int
    seconds: float
    mean: float
    deviation: float


@dataclass(frozen=True)
class Stage:
    """A stage of a roll-out that has been watched: what both deployments did, and what of it is out of bounds."""

    name: str
    new: Seen
    old: Seen
    compared: bool
    reasons: tuple[str, ...]

    @property
    def sentence(self) -> str:
        """The evidence in a line."""
        few = "" if self.compared else "; too few to compare time and predictions"
        return f"{self.name}: {_told(self.new)} (old: {_told(self.old)}){few}"


def judge(name: str, new: Seen, old: Seen, policy: RolloutSpec) -> Stage:
    """Hold what the new deployment did against the old one and the declared bounds.

    Failures count from the first: more than the bound allows for `min_requests` is too much, however few requests there
    were. Time and predictions are judged once both have `min_requests`. Predictions are compared by mean and deviation:
    what compares them by bins, such as PSI, takes a few requests that are repeated for a distribution of their own.
    """
    reasons = []
    allowed = policy.max_failure_rate + (old.failed / old.requests if old.requests else 0)
    if new.failed > allowed * max(new.requests, policy.min_requests):
        reasons.append(f"it failed {new.failed} of {new.requests} requests, more than {allowed:.2%} are allowed")
    compared = min(new.requests - new.failed, old.requests - old.failed) >= policy.min_requests
    if compared:
        reasons += _compared(new, old, policy)
    return Stage(name, new, old, compared, tuple(reasons))


def _compared(new: Seen, old: Seen, policy: RolloutSpec) -> list[str]:
    reasons = []
    if new.seconds > policy.max_latency_ratio * old.seconds:
        reasons.append(
            f"nine of ten requests took up to {_ms(new)} of the processor, more than {policy.max_latency_ratio:g} "
            f"times the {_ms(old)} of the old deployment"
        )
    if abs(new.mean - old.mean) > policy.max_prediction_shift:
        reasons.append(
            f"its mean prediction is {new.mean:.3f}, further than {policy.max_prediction_shift:g} from the old "
            f"deployment's {old.mean:.3f}"
        )
    if new.deviation < policy.min_prediction_spread * old.deviation:
        reasons.append(
            f"its predictions hardly differ: their deviation is {new.deviation:.3f}, less than "
            f"{policy.min_prediction_spread:g} of the old deployment's {old.deviation:.3f}"
        )
    return reasons


def _told(seen: Seen) -> str:
    return (
        f"{seen.requests} requests, {seen.failed} failed, nine of ten within {_ms(seen)}, predictions "
        f"{seen.mean:.3f} +/- {seen.deviation:.3f}"
    )


def _ms(seen: Seen) -> str:
    return f"{seen.seconds * 1e3:.2f} ms"
