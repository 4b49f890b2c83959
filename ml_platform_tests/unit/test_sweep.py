"""A search space means the same to a sweep of Azure ML as to the search in the training's process."""

import math
import random

import pytest

from ml_platform.errors import SpecError
from ml_platform.gateways.jobs.azureml_sweep import Sweep, expression
from ml_platform.training.contract import Dimension, Metric, Trial
from ml_platform.training.estimator import best_of
from ml_platform.training.space import parsed
from ml_platform_tests.emulators.arm.sweeps import draw, outside

SPACE = {
    "leaves": Dimension(4, 64, integer=True),
    "trees": Dimension(10, 1000, integer=True, log=True),
    "rate": Dimension(0.01, 0.3, log=True),
    "share": Dimension(0.5, 1.0),
    "kind": Dimension(choices=["gbdt", "dart", 3, True]),
}


def drawn(name: str, random_: random.Random) -> object:
    """What a trial gets for a dimension: drawn as the service draws, carried as text."""
    return parsed(SPACE, {f"--{each}": str(draw(wire(each), random_)) for each in SPACE})[name]


def wire(name: str) -> list:
    """An expression as it goes over the wire."""
    return expression(name, SPACE[name])._to_rest_object()


@pytest.mark.parametrize("name", ["leaves", "trees", "rate", "share"])
def test_numbers_are_drawn_from_the_declared_range_in_the_declared_scale(name: str):
    random_, dimension = random.Random(0), SPACE[name]
    assert dimension.low is not None and dimension.high is not None
    values = [drawn(name, random_) for _ in range(2000)]
    numbers = [value for value in values if isinstance(value, int if dimension.integer else float)]
    assert len(numbers) == 2000
    assert dimension.low <= min(numbers) and max(numbers) <= dimension.high
    middle = math.sqrt(dimension.low * dimension.high) if dimension.log else (dimension.low + dimension.high) / 2
    below = sum(number < middle for number in numbers) / 2000
    assert 0.45 < below < 0.55


def test_choices_come_back_as_what_they_were():
    random_ = random.Random(0)
    assert {repr(drawn("kind", random_)) for _ in range(200)} == {"'gbdt'", "'dart'", "3", "True"}


@pytest.mark.parametrize(("name", "text"), [("kind", "goss"), ("rate", "fast"), ("leaves", "")])
def test_what_is_not_in_the_space_is_refused_by_name(name: str, text: str):
    with pytest.raises(SpecError, match=name):
        parsed({name: SPACE[name]}, {f"--{name}": text})


def test_the_best_trial_is_one_that_finished_and_the_direction_counts():
    trials = [Trial(0, {}, 0.7), Trial(1, {}, 0.9, "KILLED"), Trial(2, {}, None, "FAILED"), Trial(3, {}, 0.8)]
    assert best_of(trials, Metric("roc_auc", "maximize")).number == 3
    assert best_of(trials, Metric("log_loss", "minimize")).number == 0
    with pytest.raises(SpecError, match="none of 1 trials finished"):
        best_of(trials[1:2], Metric("roc_auc", "maximize"))


@pytest.mark.parametrize(
    ("change", "wanted"),
    [
        ({}, True),
        ({"search": "process"}, False),
        ({"trials": 0}, False),
        ({"search_space": {}}, False),
        ({"swept": [1]}, False),
    ],
)
def test_only_a_search_that_is_declared_so_and_not_done_yet_is_swept(change: dict, wanted: bool):
    asked = {"search": "sweep", "trials": 3, "search_space": {"leaves": {}}, "swept": []}
    assert Sweep.wanted(asked | change) == wanted


@pytest.mark.parametrize(
    ("value", "best", "stopped"),
    [(0.70, 0.76, False), (0.68, 0.76, True), (-0.55, -0.51, False), (-0.57, -0.51, True), (0.76, 0.76, False)],
)
def test_the_emulated_bandit_stops_what_is_a_tenth_worse_than_the_best(value: float, best: float, stopped: bool):
    assert outside({"policyType": "Bandit", "slackFactor": 0.1}, value, best) == stopped
