"""The gate decides from evidence: whatever is worse, missing or unreadable refuses; what is too good asks."""

from dataclasses import replace
from math import nan

import pytest

from ml_platform.core.gate import Evidence, GatePolicy, Interval, SliceEvidence, decide

POLICY = GatePolicy(
    metric="roc_auc",
    direction="maximize",
    margin=0.01,
    min_rows=1000,
    min_positives=100,
    slice_margin=0.05,
    min_slice_rows=300,
    max_gain=0.06,
    floors={"roc_auc": 0.65},
    ceilings={"log_loss": 0.6},
    suspicious_above=0.85,
)
EQUAL = Evidence(
    challenger_version="2",
    window=["2013-03-18", "2013-03-19"],
    rows=12_000,
    positives=2_500,
    challenger={"roc_auc": 0.75, "log_loss": 0.45},
    champion_version="1",
    champion={"roc_auc": 0.75, "log_loss": 0.45},
    difference=Interval(0.0, -0.004, 0.004),
    slices=[SliceEvidence("carrier=UA", 900, 0.74, 0.74, Interval(0.0, -0.01, 0.01))],
)
LOWER_IS_BETTER = replace(
    POLICY, metric="log_loss", direction="minimize", floors={}, ceilings={}, suspicious_above=0.2, max_gain=0.1
)


def test_an_equal_challenger_is_promoted():
    decision = decide(EQUAL, POLICY)
    assert decision.accepted and decision.verdict == "promote"
    assert decision.evidence is EQUAL


def test_a_worse_challenger_is_refused():
    worse = replace(EQUAL, difference=Interval(-0.02, -0.03, -0.01))
    assert_refused(worse, "may be worse")


def test_a_challenger_that_could_be_worse_than_the_margin_is_refused_though_its_point_is_equal():
    assert_refused(replace(EQUAL, difference=Interval(0.0, -0.02, 0.02)), "may be worse")


def test_a_challenger_worse_within_the_margin_is_promoted():
    assert decide(replace(EQUAL, difference=Interval(-0.003, -0.008, 0.001)), POLICY).accepted


def test_the_direction_is_honoured_where_smaller_is_better():
    larger = replace(EQUAL, difference=Interval(0.05, 0.04, 0.06))
    smaller = replace(EQUAL, difference=Interval(-0.05, -0.06, -0.04))
    assert decide(larger, LOWER_IS_BETTER).verdict == "refuse"
    assert decide(smaller, LOWER_IS_BETTER).verdict == "promote"
    assert decide(smaller, POLICY).verdict == "refuse"


@pytest.mark.parametrize("value", [nan, None, float("inf")])
def test_a_metric_that_is_missing_or_no_number_is_refused_on_either_side(value: float | None):
    known = {"roc_auc": 0.75, "log_loss": 0.45}
    broken = {name: number for name, number in (known | {"roc_auc": value}).items() if number is not None}
    assert_refused(replace(EQUAL, challenger=broken), "challenger's roc_auc")
    assert_refused(replace(EQUAL, champion=broken), "roc_auc")


def test_a_metric_that_only_a_bound_names_is_needed_too():
    assert_refused(replace(EQUAL, challenger={"roc_auc": 0.75}), "challenger's log_loss is missing")
    assert_refused(replace(EQUAL, challenger={"roc_auc": 0.75, "log_loss": nan}), "log_loss is nan")


@pytest.mark.parametrize("difference", [None, Interval(0.0, nan, 0.01), Interval(nan, -0.01, 0.01)])
def test_a_difference_without_its_interval_is_refused(difference: Interval | None):
    assert_refused(replace(EQUAL, difference=difference), "difference")


def test_a_holdout_that_is_too_small_is_refused():
    assert_refused(replace(EQUAL, rows=999), "999 rows")
    assert_refused(replace(EQUAL, positives=99), "99 positives")


def test_an_empty_window_is_refused():
    empty = Evidence("2", [], 0, 0, {}, champion_version="1")
    assert_refused(empty, "0 rows")


def test_an_unreadable_champion_is_refused():
    unread = replace(EQUAL, champion={}, difference=None, slices=[], champion_problem="model.onnx is missing")
    assert_refused(unread, "model.onnx is missing")


def test_a_slice_that_got_much_worse_is_refused():
    bad = SliceEvidence("origin=LGA", 400, 0.60, 0.72, Interval(-0.12, -0.18, -0.06))
    assert_refused(replace(EQUAL, slices=[*EQUAL.slices, bad]), "origin=LGA")
    up = SliceEvidence("origin=LGA", 400, 0.60, 0.48, Interval(0.12, 0.06, 0.18))
    assert decide(replace(EQUAL, slices=[up]), LOWER_IS_BETTER).verdict == "refuse"


def test_a_small_slice_or_one_within_its_scatter_does_not_refuse():
    small = SliceEvidence("carrier=HA", 20, 0.40, 0.90, Interval(-0.5, -0.6, -0.4))
    noisy = SliceEvidence("carrier=YV", 320, 0.66, 0.72, Interval(-0.06, -0.14, 0.03))
    assert decide(replace(EQUAL, slices=[small, noisy]), POLICY).accepted


@pytest.mark.parametrize("broken", [(nan, 0.7), (0.7, nan), (0.7, None)])
def test_a_slice_without_numbers_is_refused(broken: tuple[float, float | None]):
    item = SliceEvidence("origin=EWR", 4000, *broken, Interval(0.0, -0.01, 0.01))
    assert_refused(replace(EQUAL, slices=[item]), "origin=EWR")


def test_a_floor_and_a_ceiling_refuse():
    assert_refused(replace(EQUAL, challenger={"roc_auc": 0.64, "log_loss": 0.45}), "floor")
    assert_refused(replace(EQUAL, challenger={"roc_auc": 0.75, "log_loss": 0.61}), "ceiling")


def test_a_jump_asks_for_a_person():
    jump = replace(EQUAL, challenger={"roc_auc": 0.83, "log_loss": 0.3}, difference=Interval(0.08, 0.06, 0.1))
    decision = decide(jump, POLICY)
    assert (decision.accepted, decision.verdict) == (False, "ask")
    assert "leak" in decision.reasons[0]


def test_a_first_model_is_judged_by_floors_and_the_suspicious_bound_alone():
    first = Evidence("1", ["2013-03-18"], 12_000, 2_500, {"roc_auc": 0.75, "log_loss": 0.45})
    assert decide(first, POLICY).verdict == "promote"
    assert decide(replace(first, challenger={"roc_auc": 0.89, "log_loss": 0.3}), POLICY).verdict == "ask"
    assert decide(replace(first, challenger={"roc_auc": 0.6, "log_loss": 0.45}), POLICY).verdict == "refuse"
    assert decide(replace(first, challenger={"log_loss": 0.15}), LOWER_IS_BETTER).verdict == "ask"


def assert_refused(evidence: Evidence, reason: str):
    decision = decide(evidence, POLICY)
    assert (decision.accepted, decision.verdict) == (False, "refuse")
    assert any(reason in text for text in decision.reasons), decision.reasons
