"""A decision retrains on decay that is certain and allowed, waits or records otherwise, and says why."""

import json
from dataclasses import replace

import pytest
from scipy.stats import ttest_ind

from dbx_jobs.contract import from_dict, to_dict
from ml_platform.core.decay import compare
from ml_platform.core.observations import Observations, PastDecision
from ml_platform.core.product import RetrainingSpec
from ml_platform.core.retraining import Decision, decide
from ml_platform_tests.unit.retraining_days import HOLDOUT, QUIET, TRAINED_UNTIL, Days, add, worse

POLICY = RetrainingSpec(cooldown_days=28, min_matured_labels=2000, budget_per_quarter=3, false_alarms_per_month=0.2)
SERVED = 42
"""Days of service, six weeks: a day of review, and the cooldown is over."""


def quiet(served: int = SERVED) -> Observations:
    return Days(QUIET, HOLDOUT + served).seen(HOLDOUT + served - 1)


def decaying(served: int = SERVED) -> Observations:
    seen = quiet(served)
    return worse(seen, add(seen.as_of, -13))


def retrained(*days: str) -> list[PastDecision]:
    return [PastDecision(day, day, "retrain") for day in days]


def drifting(seen: Observations, *columns: str) -> Observations:
    """All rows of the window's days in the baseline's upper half, for the named columns; the prediction by its mean."""
    moved = [
        replace(c, daily={day: [0] * 8 + counts[:8] + counts[16:] for day, counts in c.daily.items()})
        if c.column in columns
        else c
        for c in seen.drift
    ]
    if "prediction" not in columns:
        return replace(seen, drift=moved)
    start = add(seen.as_of, -13)
    days = [replace(d, metrics=d.metrics | {"mean_prediction": 0.8}) if d.day >= start else d for d in seen.performance]
    return replace(seen, drift=moved, performance=days)


def test_nothing_to_see_waits_and_shows_what_was_looked_at():
    decision = decide(quiet(), POLICY)
    assert decision.verdict == "wait" and not decision.held_by
    assert {(s.kind, s.name) for s in decision.signals} >= {("decay", "roc_auc"), ("decay", "log_loss")}
    assert decision.matured_labels == 14 * 900


def test_decay_retrains_and_names_the_metric_its_reference_its_days_and_its_chance():
    decision = decide(decaying(), POLICY)
    assert decision.verdict == "retrain"
    assert "roc_auc" in decision.reasons[0] and "worse" in decision.reasons[0]
    signal = next(s for s in decision.signals if s.name == "roc_auc")
    assert signal.alarm and signal.value is not None and signal.reference is not None
    assert signal.value < signal.reference - POLICY.min_decay
    assert signal.p_value is not None and signal.level is not None and signal.p_value <= signal.level
    assert signal.days == [add(decision.day, -13), decision.day] and signal.rows == decision.matured_labels
    assert decision.policy == POLICY.model_dump(mode="json") and decision.next_allowed == decision.day


def test_a_model_that_got_better_is_left_alone():
    seen = quiet()
    assert decide(worse(seen, add(seen.as_of, -13), auc=-0.12), POLICY).verdict == "wait"


def test_a_larger_log_loss_is_decay_unless_the_base_rate_explains_it():
    seen = quiet()
    start = add(seen.as_of, -13)

    def with_loss(factor: float) -> Observations:
        days = [
            replace(d, metrics=d.metrics | {"log_loss": (d.metrics["log_loss"] or 0) * factor}) if d.day >= start else d
            for d in seen.performance
        ]
        return replace(seen, performance=days)

    only = POLICY.model_copy(update={"metrics": ["log_loss"]})
    assert decide(with_loss(1.15), only).verdict == "retrain"
    assert decide(with_loss(0.85), only).verdict == "wait"
    # A day on which half are late has a larger log loss than one on which a tenth is, and the same skill.
    other_rate = [
        replace(d, metrics=d.metrics | {"base_rate": 0.5, "log_loss": 0.93 * 0.6931}) if d.day >= start else d
        for d in seen.performance
    ]
    assert decide(replace(seen, performance=other_rate), only).verdict == "wait"


def test_provisional_days_and_days_of_other_versions_are_never_judged():
    seen = decaying()
    start = add(seen.as_of, -13)
    for change in ({"final": False}, {"version": "0"}, {"version": None}):
        changed = [replace(d, **change) if d.day >= start else d for d in seen.performance]
        decision = decide(replace(seen, performance=changed), POLICY)
        assert decision.verdict == "wait", change
        assert all(s.days[-1] < start for s in decision.signals if s.kind == "decay")


def test_decay_within_the_cooldown_of_a_retraining_waits_and_says_until_when():
    seen = decaying()
    decision = decide(replace(seen, history=retrained(add(seen.as_of, -27))), POLICY)
    assert (decision.verdict, decision.held_by) == ("wait", ["cooldown"])
    assert any("cooldown of 28 days" in reason for reason in decision.reasons)
    assert decision.next_allowed == add(seen.as_of, 7)  # free tomorrow, and the next review is in a week
    assert decide(replace(seen, history=retrained(add(seen.as_of, -28))), POLICY).verdict == "retrain"


def test_the_cooldown_counts_from_the_champions_training_too():
    decision = decide(decaying(served=21), POLICY)
    assert (decision.verdict, decision.held_by) == ("wait", ["cooldown"])
    assert decision.next_allowed == add(TRAINED_UNTIL, 28)


def test_a_spent_budget_waits_for_the_next_quarter():
    seen = decaying()
    spent = POLICY.model_copy(update={"budget_per_quarter": 1})
    decision = decide(replace(seen, history=retrained("2013-04-02")), spent)
    assert (decision.verdict, decision.held_by) == ("wait", ["budget"])
    assert decision.next_allowed is not None and "2013-07-01" <= decision.next_allowed <= "2013-07-07"
    none = decide(seen, POLICY.model_copy(update={"budget_per_quarter": 0}))
    assert (none.verdict, none.next_allowed) == ("wait", None)


def test_too_few_matured_labels_hold():
    decision = decide(decaying(), POLICY.model_copy(update={"min_matured_labels": 14 * 900 + 1}))
    assert (decision.verdict, decision.held_by) == ("wait", ["labels"])


def test_between_reviews_a_signal_waits_for_the_next():
    decision = decide(decaying(served=SERVED + 1), POLICY)
    assert (decision.verdict, decision.held_by) == ("wait", ["review"])
    assert decision.next_allowed == add(TRAINED_UNTIL, SERVED + 7)


def test_features_that_matter_drifting_together_with_the_prediction_retrain():
    decision = decide(drifting(quiet(), "crowding", "prediction"), POLICY)
    assert decision.verdict == "retrain"
    assert "prediction's PSI" in decision.reasons[0] and "crowding" in decision.reasons[1]


def test_drift_of_features_alone_or_of_the_prediction_alone_is_recorded():
    features = decide(drifting(quiet(), "crowding"), POLICY)
    assert features.verdict == "record" and any("crowding" in reason for reason in features.reasons)
    assert decide(drifting(quiet(), "prediction"), POLICY).verdict == "record"


def test_drift_of_an_unimportant_feature_with_the_prediction_is_recorded():
    seen = drifting(quiet(), "crowding", "prediction")
    assert seen.champion is not None
    light = replace(seen.champion, importances={"crowding": 0.05, "carrier": 0.95})
    assert decide(replace(seen, champion=light), POLICY).verdict == "record"


def test_without_a_champion_or_without_days_it_waits():
    assert decide(replace(quiet(), champion=None), POLICY).verdict == "wait"
    decision = decide(replace(quiet(), performance=[], drift=[]), POLICY)
    assert decision.verdict == "wait" and "too little" in decision.reasons[0]


def test_a_stored_observation_gives_the_same_decision_again():
    seen = drifting(replace(decaying(), history=retrained("2013-04-02")), "crowding")
    stored = json.dumps(to_dict(seen))
    again = from_dict(Observations, json.loads(stored))
    assert again == seen
    decision = decide(again, POLICY)
    assert decision == decide(seen, POLICY)
    assert from_dict(Decision, json.loads(json.dumps(to_dict(decision)))) == decision


@pytest.mark.parametrize("seed", range(5))
def test_the_test_is_welchs_where_days_do_not_resemble_each_other(seed: int):
    days = Days(seed, 40)
    values = [m["roc_auc"] or 0.0 for m in days.metrics]
    # Each value beside its mirror image: neighbours are then never alike.
    before, now = ([x for v in part for x in (v, 1.4 - v)] for part in (values[:12], values[12:20]))
    theirs = ttest_ind(now, before, equal_var=False, alternative="less").pvalue  # type: ignore[union-attr]
    assert compare(before, now) == pytest.approx(float(theirs), abs=1e-12)
