"""The weighted metrics are scikit-learn's, and their intervals are those of whole days."""

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, brier_score_loss, log_loss, roc_auc_score

from ml_platform.errors import SpecError
from ml_platform.training.metrics import METRICS, DayBootstrap, Scored, check_metric, value

RANDOM = np.random.default_rng(0)
DAYS = np.repeat([f"2013-01-{day:02}" for day in range(1, 21)], 100)
LABEL = (RANDOM.random(2000) < 0.3).astype(np.int8)
SCORE = np.clip(np.round(0.3 + 0.2 * (LABEL - 0.3) + RANDOM.normal(0, 0.15, 2000), 2), 0.01, 0.99)
PEERS = {
    "roc_auc": roc_auc_score,
    "average_precision": average_precision_score,
    "log_loss": log_loss,
    "brier": brier_score_loss,
}


@pytest.mark.parametrize("name", sorted(METRICS))
def test_a_metric_with_weights_and_ties_equals_scikit_learns(name: str):
    weight = RANDOM.integers(0, 4, 2000).astype(float)
    ours = METRICS[name][0](Scored(LABEL, SCORE), weight)
    assert ours == pytest.approx(PEERS[name](LABEL, SCORE, sample_weight=weight), abs=1e-12)
    assert value(name, LABEL, SCORE) == pytest.approx(PEERS[name](LABEL, SCORE), abs=1e-12)


@pytest.mark.parametrize("name", sorted(METRICS))
def test_a_score_that_is_no_number_gives_no_metric(name: str):
    broken = SCORE.copy()
    broken[7] = np.nan
    assert np.isnan(value(name, LABEL, broken))
    interval = DayBootstrap(DAYS, 0, 50).interval(name, LABEL, broken)
    assert np.isnan([interval.point, interval.lower, interval.upper]).all()


def test_an_interval_holds_the_point_and_repeats_with_its_seed():
    first, second = (DayBootstrap(DAYS, 3).interval("roc_auc", LABEL, SCORE) for _ in range(2))
    assert first == second
    assert first.lower < first.point < first.upper


def test_days_that_differ_widen_the_interval_beyond_what_single_rows_give():
    shifted = (RANDOM.random(2000) < np.repeat(RANDOM.uniform(0.02, 0.98, 20), 100)).astype(np.int8)
    rows = np.arange(2000).astype(str)
    by_day = DayBootstrap(DAYS, 0, 300).interval("brier", shifted, SCORE)
    by_row = DayBootstrap(rows, 0, 300).interval("brier", shifted, SCORE)
    assert by_day.upper - by_day.lower > 2 * (by_row.upper - by_row.lower)


def test_a_difference_is_paired_so_equal_models_differ_by_nothing():
    bootstrap = DayBootstrap(DAYS, 0, 200)
    same = bootstrap.difference("log_loss", LABEL, SCORE, SCORE)
    assert (same.point, same.lower, same.upper) == (0, 0, 0)
    noise = np.clip(SCORE + RANDOM.normal(0, 0.2, 2000), 0.01, 0.99)
    assert bootstrap.difference("log_loss", LABEL, noise, SCORE).lower > 0
    assert bootstrap.difference("roc_auc", LABEL, noise, SCORE).upper < 0


def test_a_metric_of_the_wrong_direction_is_refused():
    check_metric("log_loss", "minimize")
    with pytest.raises(SpecError, match="minimize"):
        check_metric("log_loss", "maximize")
