"""A champion is rolled out under load without a lost request, and goes back by itself when it is out of bounds."""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path

import psutil
import pytest

from ml_platform.core.product_endpoint import RolloutSpec, WatchSpec
from ml_platform.errors import DeploymentRefused, EndpointError, GateError, RolledBack
from ml_platform.gateways.registry import ROLLED_BACK, SERVED, WAITING
from ml_platform.scoring.state import LOCK_FILE
from ml_platform_tests.contract.cloud_rollouts import There
from ml_platform_tests.contract.rollouts import NAME, Here, Place, World, served
from ml_platform_tests.load import CONNECTIONS
from ml_platform_tests.serving_directories import (
    write_constant_directory,
    write_failing_directory,
    write_serving_directory,
    write_slow_directory,
)

LONG = WatchSpec(percent=10, seconds=30)
STAGES = {
    "shadow": RolloutSpec(shadow=WatchSpec(percent=50, seconds=30), canary=LONG),
    "canary": RolloutSpec(shadow=WatchSpec(percent=50, seconds=0), canary=LONG),
}
"""In the second nothing is seen of a version before it answers requests."""

FAULTS: dict[str, tuple[Callable[[Path, Place], Path], str]] = {
    "answers 5xx": (lambda folder, _: write_failing_directory(folder), "failed"),
    "is ten times slower": (
        lambda folder, at: write_slow_directory(folder, at.slow_width),
        "nine of ten requests took",
    ),
    "predicts a constant": (lambda folder, _: write_constant_directory(folder), "predictions hardly differ"),
}

PLACES = ("probe", "shadow", "canary", "recording", "going back", "alias")
OFTEN = ("shadow", "going back")

THERE = pytest.mark.cloud
EVERYWHERE = pytest.mark.parametrize("world", ["here", pytest.param("there", marks=THERE)], indirect=True)
"""On this machine and on managed endpoints in the loopback cloud."""
SELDOM = pytest.mark.loop
"""What adds little to its neighbours is asked with the tests that take long."""


@pytest.fixture
def world(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[World]:
    if getattr(request, "param", "here") == "here":
        with served(tmp_path) as world:
            yield world
        return
    with served(tmp_path, There(request.getfixturevalue("hosting_cloud"))) as world:
        yield world


def where(world: World) -> str:
    return "here" if isinstance(world.place, Here) else "there"


def logged_once(world: World, answers: int) -> bool:
    world.endpoints.delete(NAME)
    ids = [world.logged(collection) for collection in ("model_inputs", "model_outputs")]
    return [len(set(found)) for found in ids] == [len(found) for found in ids] == [answers, answers]


def test_the_first_champion_is_served_at_once(world: World) -> None:
    assert (world.traffic(), world.answering()) == ({"1": 100}, "1")
    assert world.registry.get(NAME, "1").tags["rollout"] == SERVED


@EVERYWHERE
def test_a_new_champion_takes_over_under_load_and_the_old_one_is_kept(world: World) -> None:
    version = world.champion(-0.9)
    with world.under_load() as outcomes:
        outcome = world.roll_out()
    assert (outcome.status, world.traffic(), world.versions()) == ("served", {version: 100}, ["1", version])
    assert (outcomes.failed, outcomes.lost, set(outcomes.versions)) == ({}, 0, {"1", version})
    stages = {stage["name"]: stage for stage in world.evidence(version)["stages"]}
    assert stages["shadow"]["compared"]
    assert stages["canary"]["new"]["requests"] > 30
    share = stages["canary"]["new"]["requests"] / (
        stages["canary"]["new"]["requests"] + stages["canary"]["old"]["requests"]
    )
    assert share == pytest.approx(world.policy.canary.percent / 100, abs=0.02)
    assert logged_once(world, outcomes.answers)


def test_a_stage_of_no_time_is_left_out(world: World) -> None:
    version = world.champion(-0.9)
    policy = world.policy.model_copy(update={"shadow": WatchSpec(percent=50, seconds=0)})
    assert world.rollout(policy).run(NAME, version).status == "served"
    assert [stage["name"] for stage in world.evidence(version)["stages"]] == ["canary"]


@pytest.mark.parametrize("world", ["here", pytest.param("there", marks=SELDOM)], indirect=True)
def test_rolling_the_same_out_again_changes_nothing(world: World) -> None:
    world.champion(-0.9)
    world.roll_out()
    before = world.endpoints.state(NAME)
    assert world.roll_out().state == before


@pytest.mark.parametrize(
    ("world", "fault", "stage"),
    [
        *product(["here"], FAULTS, STAGES),
        pytest.param("there", "answers 5xx", "shadow", marks=THERE),
        pytest.param("there", "is ten times slower", "canary", marks=THERE),
        pytest.param("there", "predicts a constant", "shadow", marks=SELDOM),
    ],
    indirect=["world"],
)
def test_a_version_out_of_bounds_goes_back_in_time_and_is_never_above_its_share(
    world: World, fault: str, stage: str
) -> None:
    write, reason = FAULTS[fault]
    version = world.champion(serving=write(world.folder / "faulty", world.place))
    quick = world.policy
    few = {"min_requests": quick.min_requests, "max_prediction_shift": quick.max_prediction_shift}
    policy = STAGES[stage].model_copy(update=few)
    with world.under_load() as outcomes:
        began = time.monotonic()
        with pytest.raises(RolledBack, match=f"version 1 serves: as {stage}.*{reason}"):
            world.rollout(policy).run(NAME, version)
        assert time.monotonic() - began < world.place.goes_back_within
    assert (world.traffic(), world.versions(), world.answering()) == ({"1": 100}, ["1"], "1")
    champion, refused = world.registry.champion(NAME), world.registry.get(NAME, version)
    assert champion and champion.version == "1"
    assert refused.tags["rollout"] == refused.tags["gate"] == ROLLED_BACK
    with pytest.raises(GateError, match="rolled back"):
        world.registry.promote(NAME, version)
    assert reason in world.evidence(version)["reason"]
    asked = outcomes.answers + sum(outcomes.failed.values())
    by_new = sum(outcomes.failed.values()) + sum(s.count for v, s in outcomes.versions.items() if v == version)
    assert outcomes.versions["1"].count > 0
    assert outcomes.lost == 0
    assert by_new <= (0 if stage == "shadow" else asked * LONG.percent / 100)


def test_a_version_that_does_not_answer_as_its_model_is_not_asked_by_anybody(world: World) -> None:
    version = world.champion(-0.9)
    served = world.registry.serving_directory(NAME, version)
    other = write_serving_directory(world.folder / "other", 1.0)
    recorded = world.rollout()

    def swapped() -> list[dict[str, float]]:
        (served / "model.onnx").write_bytes((other / "model.onnx").read_bytes())
        return [{"distance": float(n)} for n in range(5)]

    recorded.recorded = swapped
    with world.under_load() as outcomes, pytest.raises(RolledBack, match="answers .* its model"):
        recorded.run(NAME, version)
    assert (set(outcomes.versions), outcomes.failed, outcomes.lost) == ({"1"}, {}, 0)
    assert world.versions() == ["1"]


@EVERYWHERE
def test_a_version_that_cannot_be_loaded_goes_back(world: World) -> None:
    torn = write_serving_directory(world.folder / "torn")
    (torn / "model.onnx").write_bytes(b"torn")
    world.champion(serving=torn)
    with pytest.raises(RolledBack, match="cannot be served"):
        world.roll_out()
    assert (world.traffic(), world.answering()) == ({"1": 100}, "1")


def test_a_first_version_that_cannot_be_loaded_is_an_error(tmp_path: Path) -> None:
    world = World(tmp_path)
    version = world.champion()
    (world.registry.serving_directory(NAME, version) / "model.onnx").write_bytes(b"torn")
    try:
        with pytest.raises(DeploymentRefused, match="nothing is served"):
            world.roll_out()
    finally:
        world.endpoints.delete(NAME)


@pytest.mark.parametrize(
    ("world", "place"),
    [
        *product(["here"], OFTEN),
        *(pytest.param("there", each, marks=THERE) for each in OFTEN),
        *(pytest.param(*case, marks=SELDOM) for case in product(["here", "there"], PLACES) if case[1] not in OFTEN),
    ],
    indirect=["world"],
)
def test_a_roll_out_that_is_killed_anywhere_is_finished_by_the_next_one(world: World, place: str) -> None:
    faulty = place in ("going back", "alias")
    version = world.champion(serving=write_constant_directory(world.folder / "faulty") if faulty else None)
    with world.under_load() as outcomes:
        command = [sys.executable, "-m", "ml_platform_tests.contract.paused_rollout"]
        command += [str(world.folder), place, where(world)]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as run:
            assert run.stdout
            said = run.stdout.readline()
            run.kill()
        assert said == b"reached\n"
        if faulty:
            # Its verdict was written down: nobody is asked about it again.
            with pytest.raises(RolledBack, match="before" if place == "alias" else "hardly differ"):
                world.roll_out()
        else:
            assert world.roll_out().status == "served"
    serving = "1" if faulty else version
    champion = world.registry.champion(NAME)
    assert champion and champion.version == serving
    assert world.traffic() == {serving: 100}
    assert world.registry.get(NAME, version).tags["rollout"] == (ROLLED_BACK if faulty else SERVED)
    assert (outcomes.failed, outcomes.lost) == ({}, 0)


@pytest.mark.parametrize("world", ["here", pytest.param("there", marks=SELDOM)], indirect=True)
def test_with_manual_approval_it_waits_before_the_canary_until_a_person_says_so(world: World) -> None:
    manual = world.policy.model_copy(update={"approval": "manual"})
    version = world.champion(-0.9)
    with world.under_load() as outcomes:
        assert world.rollout(manual).run(NAME, version).status == "waiting"
        assert world.rollout(manual).run(NAME, version).status == "waiting"
    assert (set(outcomes.versions), world.traffic()) == ({"1"}, {"1": 100})
    assert world.registry.get(NAME, version).tags["rollout"] == WAITING
    world.registry.approve_rollout(NAME, version, "ada")
    assert world.rollout(manual).run(NAME, version).status == "served"
    assert world.traffic() == {version: 100}
    assert world.evidence(version)["approved_by"] == "ada"
    with pytest.raises(GateError, match="waits for nobody"):
        world.registry.approve_rollout(NAME, version, "ada")


@EVERYWHERE
def test_by_hand_the_version_before_is_back_in_one_step(world: World) -> None:
    version = world.champion(-0.9)
    world.roll_out()
    with world.under_load() as outcomes:
        assert world.rollout().go_back(NAME, "ada") == "1"
    assert (world.traffic(), world.versions(), world.answering()) == ({"1": 100}, ["1"], "1")
    assert (outcomes.failed, outcomes.lost) == ({}, 0)
    champion = world.registry.champion(NAME)
    assert champion and champion.version == "1"
    assert "by ada" in world.registry.get(NAME, version).tags["gate_reasons"]
    assert world.roll_out().status == "served"


def test_by_hand_it_goes_back_to_a_version_that_is_not_kept_any_more(world: World) -> None:
    world.champion(-0.9)
    world.roll_out()
    state = world.endpoints.state(NAME)
    assert state and state.serving
    world.rollout()._declare([state.serving], {state.serving.name: 100})
    assert world.rollout().go_back(NAME, "ada") == "1"
    assert world.answering() == "1"
    with pytest.raises(EndpointError, match="none to go back to"):
        world.rollout().go_back(NAME, "ada")


def test_a_roll_out_that_somebody_changes_meanwhile_ends_and_leaves_what_they_did(world: World) -> None:
    version = world.champion(-0.9)
    rollout = world.rollout(STAGES["canary"])
    rollout.tell = lambda sentence: None
    state = world.endpoints.state(NAME)
    assert state and state.serving
    original, seen = world.endpoints.measures, []

    def meddle(name: str) -> object:
        if len(seen) == 3:
            world.rollout()._declare([state.serving], {state.serving.name: 100})  # pyright: ignore
        seen.append(name)
        return original(name)

    world.endpoints.measures = meddle  # pyright: ignore
    with pytest.raises(EndpointError, match="somebody else has changed"):
        rollout.run(NAME, version)
    assert world.traffic() == {"1": 100}


@pytest.mark.parametrize("victim", ["worker", "host"])
@pytest.mark.parametrize("place", ["canary", *(pytest.param(each, marks=SELDOM) for each in ("probe", "shadow"))])
def test_a_roll_out_goes_on_while_a_worker_or_the_host_is_killed(world: World, place: str, victim: str) -> None:
    version = world.champion(-0.9)
    host = psutil.Process(int((world.folder / "endpoints" / NAME / LOCK_FILE).read_text()))
    killed = host if victim == "host" else host.children()[0]
    rollout = world.rollout()
    rollout.tell = lambda sentence: killed.kill() if sentence.startswith(place) else None
    with world.under_load() as outcomes:
        assert rollout.run(NAME, version).status == "served"
        psutil.wait_procs([killed], 0)
    assert not killed.is_running()
    assert (world.traffic(), world.answering()) == ({version: 100}, version)
    # Lost is only what was on its way on connections that ended: with the killed process, and with the workers that a
    # new host replaces.
    assert outcomes.failed == {}
    assert outcomes.lost <= 2 * CONNECTIONS
    assert outcomes.slowest < 5
