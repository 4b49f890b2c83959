"""Chance alone asks for no more retrainings than the product declares, whichever way its windows are drawn."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from math import sqrt

import pytest

from ml_platform.core.decay import DAYS_PER_MONTH
from ml_platform.core.observations import Observations, PastDecision
from ml_platform.core.product import RetrainingSpec
from ml_platform.core.retraining import decide
from ml_platform_tests.unit.retraining_days import HOLDOUT, Days

SEEDS = 50
WINDOWS = 60
DECLARED = RetrainingSpec(false_alarms_per_month=0.2)
STATISTICS_ALONE = DECLARED.model_copy(update={"cooldown_days": 1, "budget_per_quarter": 10**6, "min_decay": 0.0})
"""Nothing but the level holds an alarm back: neither cooldown nor budget nor the size of the loss."""
NO_EFFECT_SIZES = STATISTICS_ALONE.model_copy(update={"prediction_psi": 1e-9, "feature_psi": 1e-9})


def overlapping(seed: int, resemblance: float = 0.0) -> Iterator[Observations]:
    """Sixty days in a row, each with the window that ends with it."""
    days = Days(seed, HOLDOUT + 14 + WINDOWS, resemblance)
    return (days.seen(HOLDOUT + 13 + n) for n in range(1, WINDOWS + 1))


def independent(seed: int) -> Iterator[Observations]:
    """Sixty windows of days of their own, each at a review."""
    for n in range(WINDOWS):
        yield Days(seed * WINDOWS + n, HOLDOUT + 14).seen(HOLDOUT + 13)


def rate(
    windows: Callable[[int], Iterator[Observations]], policy: RetrainingSpec, days_a_window: float, seeds: int = SEEDS
) -> float:
    """Retrainings in a month, over all seeds."""
    alarms = 0
    for seed in range(seeds):
        past: list[PastDecision] = []
        for seen in windows(seed):
            decision = decide(replace(seen, history=list(past)), policy)
            if days_a_window == 1:
                past.append(PastDecision(seen.as_of, seen.as_of, decision.verdict))
            assert decision.verdict != "quarantine", decision.reasons
            alarms += decision.verdict == "retrain"
    return alarms / (seeds * WINDOWS * days_a_window / DAYS_PER_MONTH)


@pytest.mark.parametrize("policy", [DECLARED, NO_EFFECT_SIZES], ids=["as declared", "the level alone"])
def test_sixty_overlapping_windows_of_one_distribution_retrain_no_more_than_declared(
    policy: RetrainingSpec, record_property: Callable[[str, object], None]
):
    found = rate(overlapping, policy, 1)
    report(record_property, "overlapping", found, policy)
    assert found <= policy.false_alarms_per_month


def test_sixty_independent_windows_of_one_distribution_retrain_no_more_than_declared(
    record_property: Callable[[str, object], None],
):
    found = rate(independent, NO_EFFECT_SIZES, NO_EFFECT_SIZES.review_days, seeds=15)
    report(record_property, "independent", found, NO_EFFECT_SIZES)
    assert found <= NO_EFFECT_SIZES.false_alarms_per_month


def test_days_that_resemble_the_day_before_retrain_no_more_than_declared(
    record_property: Callable[[str, object], None],
):
    found = rate(lambda seed: overlapping(seed, resemblance=0.4), DECLARED, 1)
    report(record_property, "days alike", found, DECLARED)
    assert found <= DECLARED.false_alarms_per_month


def test_drift_alone_and_decay_alone_are_within_chance_of_their_part_of_the_rate(
    record_property: Callable[[str, object], None],
):
    without_drift = lambda seed: (replace(seen, drift=[]) for seen in overlapping(seed))  # noqa: E731
    decay = rate(without_drift, NO_EFFECT_SIZES, 1)
    drift = rate(lambda seed: (_undecayed(seen) for seen in overlapping(seed)), NO_EFFECT_SIZES, 1)
    report(record_property, "decay", decay, NO_EFFECT_SIZES)
    report(record_property, "drift", drift, NO_EFFECT_SIZES)
    # A single test stands at its level exactly, so that what is counted of it lies above as often as below.
    months, whole = SEEDS * WINDOWS / DAYS_PER_MONTH, NO_EFFECT_SIZES.false_alarms_per_month
    for found, part in ((decay, whole * 2 / 3), (drift, whole / 3)):
        assert found * months <= part * months + 2 * sqrt(part * months)


def _undecayed(seen: Observations) -> Observations:
    """Without the metrics of decay, so that only drift can alarm."""
    champion = seen.champion
    assert champion is not None
    kept = ("base_rate", "mean_prediction")
    holdout, served = (
        [replace(d, metrics={k: d.metrics[k] for k in kept}) for d in days]
        for days in (champion.holdout, seen.performance)
    )
    return replace(seen, champion=replace(champion, holdout=holdout), performance=served)


def report(record_property: Callable[[str, object], None], what: str, found: float, policy: RetrainingSpec) -> None:
    record_property(f"false alarms a month, {what}", found)
    print(f"false alarms a month, {what}: {found:.3f}, declared {policy.false_alarms_per_month}")
