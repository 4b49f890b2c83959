"""Fifty roll-outs in a row, under a load of half of what the endpoint can answer."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ml_platform_tests.contract.rollouts import NAME, World, served

pytestmark = pytest.mark.loop

ROLL_OUTS = 50
MEASURED_SECONDS = 3
FOLLOWED_WITHIN = 0.5
"""Seconds in which all workers have taken a new share over, and what they had begun before is answered."""


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with served(tmp_path) as world:
        yield world


def capacity(world: World) -> float:
    """Requests a second, as fast as the same load gets its answers."""
    with world.under_load(0) as outcomes:
        deadline = time.monotonic() + MEASURED_SECONDS
        while time.monotonic() < deadline:
            world.endpoints.state(NAME)
    first, last = (pick(getattr(s, name) for s in outcomes.versions.values()) for pick, name in BOUNDS)
    return outcomes.answers / (last - first)


BOUNDS = ((min, "first"), (max, "last"))


def test_fifty_roll_outs_lose_no_request_and_every_answer_is_by_a_version_that_was_meant_to_answer(
    world: World,
) -> None:
    rate = capacity(world) / 2
    logged_before = len(world.logged("model_outputs"))
    meant: dict[str, list[float]] = {"1": [0.0, float("inf")]}
    with world.under_load(rate) as outcomes:
        before = "1"
        for number in range(ROLL_OUTS):
            version = world.champion(-1 + 0.2 * (number % 2))
            meant[version] = [time.monotonic(), float("inf")]
            assert world.roll_out().status == "served"
            meant[before][1] = time.monotonic() + FOLLOWED_WITHIN
            before = version
    assert (outcomes.failed, outcomes.lost) == ({}, 0)
    assert set(outcomes.versions) == set(meant)
    for version, seen in outcomes.versions.items():
        first, last = meant[version]
        assert first <= seen.first <= seen.last <= last, version
    world.endpoints.delete(NAME)
    for collection in ("model_inputs", "model_outputs"):
        ids = world.logged(collection)
        assert len(ids) - logged_before == outcomes.answers
    print(f"{outcomes.answers} answers at {rate:.0f} a second, the slowest after {outcomes.slowest * 1e3:.0f} ms")
