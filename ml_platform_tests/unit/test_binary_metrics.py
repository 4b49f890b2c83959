"""Metrics from sums are the metrics from rows, and their intervals hold what they promise."""

from collections.abc import Sequence

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import average_precision_score, roc_auc_score

from dbx_jobs.metrics import RankSums, average_precision, mean, roc_auc, share


def rank_sums(label: Sequence[int], score: Sequence[float]) -> RankSums:
    """By the definition: every positive against every negative."""
    y, s = np.asarray(label), np.asarray(score)
    twice = 2 * (s[y == 1][:, None] > s[y == 0]) + (s[y == 1][:, None] == s[y == 0])
    positive, negative = twice.sum(axis=1), twice.sum(axis=0)
    sums = (positive.sum(), (positive**2).sum(), (negative**2).sum())
    return RankSums(int((y == 1).sum()), int((y == 0).sum()), *map(int, sums))


def sample(random: np.random.Generator, rows: int, shift: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    label = (random.random(rows) < 0.3).astype(int)
    return label, np.round(random.normal(label * shift, 1.0), 1)


def test_the_auc_is_scikit_learns_and_its_interval_delongs():
    label, score = sample(np.random.default_rng(3), 500)
    found = roc_auc(rank_sums(label.tolist(), score.tolist()), 0.95)
    positives, negatives = score[label == 1], score[label == 0]
    wins = (positives[:, None] > negatives) + 0.5 * (positives[:, None] == negatives)
    rows, columns = wins.mean(axis=1), wins.mean(axis=0)
    error = np.sqrt(rows.var(ddof=1) / len(rows) + columns.var(ddof=1) / len(columns))
    assert found.value == pytest.approx(roc_auc_score(label, score), abs=1e-12)
    assert (found.low, found.high) == pytest.approx(stats.norm.interval(0.95, found.value, error), abs=1e-12)


def test_the_interval_of_the_auc_holds_the_truth_about_as_often_as_it_says():
    random, truth = np.random.default_rng(5), float(stats.norm.cdf(1 / np.sqrt(2)))
    found = [roc_auc(rank_sums(*map(np.ndarray.tolist, sample(random, 300))), 0.9) for _ in range(400)]
    held = np.mean([e.low is not None and e.high is not None and e.low <= truth <= e.high for e in found])
    assert 0.86 <= held <= 0.94


@pytest.mark.parametrize("label", [[0, 0, 0], [1, 1], []])
def test_the_auc_of_one_class_does_not_exist(label: list[int]):
    found = roc_auc(rank_sums(label, [0.5] * len(label)), 0.95)
    assert (found.value, found.low, found.high) == (None, None, None)


def test_a_perfect_ranking_of_few_rows_claims_no_interval():
    found = roc_auc(rank_sums([0, 0, 1, 1], [0.1, 0.2, 0.8, 0.9]), 0.95)
    assert (found.value, found.low, found.high) == (1.0, None, None)


def test_average_precision_is_scikit_learns_within_an_interval_inside_0_and_1():
    label, score = sample(np.random.default_rng(4), 300)
    total = sum(label[score >= s].mean() for s in score[label == 1])
    found = average_precision(float(total), int(label.sum()), 0.95)
    assert found.value == pytest.approx(average_precision_score(label, score), abs=1e-12)
    assert found.low is not None and found.high is not None
    assert 0 < found.low < average_precision_score(label, score) < found.high < 1


def test_a_mean_has_the_normal_interval_and_one_row_has_none():
    values = np.random.default_rng(6).random(50)
    found = mean(float(values.sum()), float((values**2).sum()), 50, 0.95)
    wanted = stats.norm.interval(0.95, values.mean(), stats.sem(values))
    assert (found.low, found.high) == pytest.approx(wanted, abs=1e-12)
    assert (mean(0.5, 0.25, 1, 0.95).low, mean(0.0, 0.0, 0, 0.95).value) == (None, None)


@pytest.mark.parametrize("hits", [0, 3, 20])
def test_a_share_has_wilsons_interval(hits: int):
    wanted = stats.binomtest(hits, 20).proportion_ci(0.95, method="wilson")
    found = share(hits, 20, 0.95)
    assert (found.low, found.high) == pytest.approx((wanted.low, wanted.high), abs=1e-12)
