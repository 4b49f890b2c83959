"""What sends a new deployment back: failures from the first, time and predictions once there are enough requests."""

from dataclasses import replace

import pytest

from ml_platform.core.product_endpoint import RolloutSpec
from ml_platform.core.rollout import Seen, judge

POLICY = RolloutSpec()
GOOD = Seen(requests=1000, failed=0, seconds=0.001, mean=0.24, deviation=0.15)


def reasons(new: Seen, old: Seen = GOOD) -> str:
    return "; ".join(judge("canary", new, old, POLICY).reasons)


def test_a_deployment_that_does_as_the_old_one_is_within_bounds() -> None:
    assert reasons(replace(GOOD, seconds=0.0029, mean=0.33, deviation=0.04)) == ""


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"failed": 11}, "failed 11 of 1000"),
        ({"seconds": 0.0031}, "3.10 ms of the processor, more than 3 times the 1.00 ms"),
        ({"mean": 0.35}, "mean prediction is 0.350"),
        ({"mean": 0.13}, "mean prediction is 0.130"),
        ({"deviation": 0.02}, "hardly differ"),
        ({"deviation": 0.0, "mean": 0.24}, "hardly differ"),
    ],
)
def test_each_bound_is_told_by_its_name(change: dict[str, float], reason: str) -> None:
    assert reason in reasons(replace(GOOD, **change))


def test_failures_count_before_there_are_enough_requests_for_the_rest() -> None:
    few = Seen(requests=3, failed=2, seconds=9.0, mean=1.0, deviation=0.0)
    assert "failed 2 of 3" in reasons(few)
    assert reasons(replace(few, failed=1)) == ""
    assert not judge("canary", few, GOOD, POLICY).compared


def test_what_the_old_deployment_fails_as_well_is_not_held_against_the_new_one() -> None:
    assert reasons(replace(GOOD, failed=50), replace(GOOD, failed=45)) == ""
    assert "failed 60" in reasons(replace(GOOD, failed=60), replace(GOOD, failed=45))


def test_nothing_is_compared_with_an_old_deployment_that_was_not_asked() -> None:
    idle = Seen(0, 0, 0.0, 0.0, 0.0)
    assert reasons(replace(GOOD, mean=0.9), idle) == ""
    assert "too few" in judge("canary", GOOD, idle, POLICY).sentence
