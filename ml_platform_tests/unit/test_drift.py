"""Drift scores say what they promise about two histograms, and few rows never give a verdict."""

import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.distance import jensenshannon

from ml_platform.core.drift import (
    Comparison,
    comparisons,
    complete,
    jensen_shannon,
    judge,
    judge_all,
    psi,
    psi_noise,
    windows,
)
from ml_platform.core.product_monitors import DriftSpec

POLICY = DriftSpec(psi_warn=0.1, psi_alert=0.25, min_rows=200)
COUNTS = st.integers(2, 20).flatmap(
    lambda n: st.tuples(*[st.lists(st.integers(0, 10**6), min_size=n, max_size=n).filter(any)] * 2)
)


def comparison(expected: Sequence[int], actual: Sequence[int]) -> Comparison:
    return Comparison("hour", tuple(map(str, range(len(expected)))), tuple(expected), tuple(actual), "3")


def test_psi_has_the_value_worked_out_by_hand():
    by_hand = (0.4 - 0.5) * math.log(0.4 / 0.5) + (0.6 - 0.5) * math.log(0.6 / 0.5)
    assert psi([50, 50], [400, 600]) == pytest.approx(by_hand, abs=1e-15)
    assert by_hand == pytest.approx(0.04054651, abs=1e-8)


def test_jensen_shannon_has_the_value_worked_out_by_hand():
    divergence = 0.5 * math.log2(1 / 0.75) + 0.5 * (0.5 * math.log2(0.5 / 0.75) + 0.5 * math.log2(0.5 / 0.25))
    assert jensen_shannon([10, 0], [5, 5]) == pytest.approx(math.sqrt(divergence), abs=1e-15)


@given(COUNTS)
def test_jensen_shannon_equals_scipys_distance_of_base_2(counts: tuple[list[int], list[int]]):
    expected, actual = counts
    theirs = np.nan_to_num(jensenshannon(expected, actual, base=2))  # rounding gives scipy the root of -1e-17
    assert jensen_shannon(expected, actual) == pytest.approx(float(theirs), abs=1e-7)


@given(COUNTS)
def test_scores_are_finite_symmetric_and_within_their_bounds(counts: tuple[list[int], list[int]]):
    expected, actual = counts
    assert 0 <= psi(expected, actual) < math.inf
    assert psi(expected, actual) == pytest.approx(psi(actual, expected), abs=1e-9)
    assert 0 <= jensen_shannon(expected, actual) <= 1 + 1e-12


def test_equal_shares_score_nothing_whatever_the_sizes():
    assert psi([10, 20, 0, 70], [1000, 2000, 0, 7000]) == 0
    assert jensen_shannon([10, 20, 0, 70], [1000, 2000, 0, 7000]) == pytest.approx(0, abs=1e-9)


def test_disjoint_histograms_are_at_the_largest_distance_and_their_psi_is_finite():
    assert jensen_shannon([100, 0], [0, 100]) == pytest.approx(1)
    by_hand = 2 * (100 / 100.5 - 0.5 / 100.5) * math.log(100 / 0.5)  # an empty cell counts as half a row
    assert psi([100, 0], [0, 100]) == pytest.approx(by_hand)


def test_an_empty_histogram_or_other_cells_are_refused():
    with pytest.raises(ValueError, match="empty histogram"):
        psi([1, 2], [0, 0])
    with pytest.raises(ValueError, match="equal cells"):
        jensen_shannon([1, 2], [1, 2, 3])


@pytest.mark.parametrize(("cells", "rows"), [(10, 300), (10, 900), (20, 900), (40, 5000)])
def test_the_noise_is_what_psi_is_on_average_when_nothing_has_changed(cells: int, rows: int):
    random = np.random.default_rng(7)
    shares = random.dirichlet(np.full(cells, 5.0))
    pairs = [(random.multinomial(50_000, shares), random.multinomial(rows, shares)) for _ in range(400)]
    scores = [psi(a.tolist(), b.tolist()) for a, b in pairs]
    noise = np.mean([psi_noise(a.tolist(), b.tolist()) for a, b in pairs])
    assert np.mean(scores) == pytest.approx(noise, rel=0.15)


def test_a_small_day_of_many_categories_does_not_alarm_by_sampling_alone():
    random = np.random.default_rng(1)
    shares = 1 / np.arange(1, 106)
    shares /= shares.sum()
    days = [
        comparison(random.multinomial(10**5, shares).tolist(), random.multinomial(900, shares).tolist())
        for _ in range(200)
    ]
    assert all(psi(day.expected, day.actual) > 0.05 for day in days)
    assert sum(psi(day.expected, day.actual) > POLICY.psi_warn for day in days) > 100
    assert {judge(day, POLICY).verdict for day in days} == {"stable"}


def test_a_shift_is_seen_and_its_size_decides_the_verdict():
    baseline = [1000, 1000, 1000, 1000]
    verdicts = [
        judge(comparison(baseline, actual), POLICY).verdict
        for actual in ([250] * 4, [350, 300, 250, 100], [700, 200, 80, 20])
    ]
    assert verdicts == ["stable", "warn", "alert"]


def test_a_new_category_is_an_alert():
    found = judge(comparison([5000, 5000, 0, 0], [400, 400, 200, 0]), POLICY)
    assert found.verdict == "alert"
    assert found.psi is not None and math.isfinite(found.psi)


@pytest.mark.parametrize(("expected", "actual"), [([500, 500], [199, 0]), ([500, 500], [0, 0]), ([100, 50], [500, 0])])
def test_few_rows_on_either_side_give_no_verdict_and_no_score(expected: list[int], actual: list[int]):
    found = judge(comparison(expected, actual), POLICY)
    assert (found.verdict, found.psi, found.js, found.excess) == ("too few rows", None, None, None)


def test_the_worst_column_comes_first():
    calm, wild = comparison([500, 500], [250, 250]), comparison([500, 500], [450, 50])
    named = [Comparison(name, c.labels, c.expected, c.actual) for name, c in (("calm", calm), ("wild", wild))]
    assert [found.column for found in judge_all(named, POLICY)] == ["wild", "calm"]


def test_comparisons_are_read_from_rows_in_any_order():
    rows = [
        {
            "day": day,
            "column": "hour",
            "cell": cell,
            "label": str(cell),
            "count": count,
            "baseline_count": 5,
            "baseline_version": "3",
        }
        for day, cell, count in (("2013-04-02", 1, 4), ("2013-04-01", 1, 2), ("2013-04-02", 0, 3), ("2013-04-01", 0, 1))
    ]
    found = comparisons(rows)
    assert {day: [(c.labels, c.actual) for c in columns] for day, columns in found.items()} == {
        "2013-04-01": [(("0", "1"), (1, 2))],
        "2013-04-02": [(("0", "1"), (3, 4))],
    }


def _day(day: int, actual: tuple[int, ...], version: str = "1") -> dict[str, list[Comparison]]:
    return {f"2013-04-{day:02}": [Comparison("weekday", ("1", "2"), (700, 700), actual, version)]}


def test_a_window_sums_the_days_that_end_with_its_own_so_that_a_weekday_alone_is_no_drift() -> None:
    daily = _day(1, (100, 0)) | _day(2, (0, 100)) | _day(3, (100, 0))
    joined = windows(daily, 2)
    assert [joined[day][0].actual for day in sorted(joined)] == [(100, 0), (100, 100), (100, 100)]
    policy = DriftSpec(min_rows=50)
    assert judge(joined["2013-04-03"][0], policy).verdict == "stable"
    assert judge(daily["2013-04-03"][0], policy).verdict == "alert"


def test_a_window_leaves_out_days_that_were_counted_in_the_bins_of_another_baseline() -> None:
    joined = windows(_day(1, (100, 0), version="1") | _day(2, (0, 100), version="2"), 7)
    assert joined["2013-04-02"][0].actual == (0, 100)


def test_a_window_is_complete_when_each_of_its_days_was_counted() -> None:
    daily = _day(1, (9, 9)) | _day(2, (9, 9)) | _day(4, (9, 9))
    assert complete(daily, "2013-04-02", 2)
    assert not complete(daily, "2013-04-04", 2), "the 3rd is missing"
    assert not complete(daily, "2013-04-02", 3), "begins before the log does"
