"""Broken data is named and never retrains, whatever else is observed; a season is not broken data."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ml_platform.core.observations import ColumnCells, Observations, PastDecision, Source, SourceDay
from ml_platform.core.product import RetrainingSpec
from ml_platform.core.retraining import decide
from ml_platform_tests.unit.retraining_days import HOLDOUT, QUIET, Days, add, worse

POLICY = RetrainingSpec()
SEEN = Days(QUIET, HOLDOUT + 42).seen(HOLDOUT + 41)
TODAY = SEEN.as_of
DECAYING = worse(SEEN, add(TODAY, -13))
BASELINE = [100] * 10 + [0]
"""Ten bins of equal content and none missing."""


def attempt(seen: Observations, name: str, day: str, result: SourceDay) -> Observations:
    return replace(
        seen, sources=[replace(s, days=s.days | {day: result}) if s.name == name else s for s in seen.sources]
    )


def until(seen: Observations, name: str, last: str) -> Observations:
    kept = [
        replace(s, days={d: a for d, a in s.days.items() if d <= last}) if s.name == name else s for s in seen.sources
    ]
    return replace(seen, sources=kept)


def column(seen: Observations, bad: list[int], days: int, usual: list[int] | None = None) -> Observations:
    """A column `temp` that is `usual` for some days, and `bad` on the last `days`."""
    names = [add(TODAY, -n) for n in range(13, -1, -1)]
    daily = {d: bad if n >= 14 - days else (usual or BASELINE) for n, d in enumerate(names)}
    labels = [*(f"bin {n}" for n in range(10)), "missing"]
    return replace(seen, drift=[*seen.drift, ColumnCells("temp", labels, BASELINE, daily)])


NULLS = [0] * 10 + [900]
TOP = [0] * 9 + [900, 0]
MIDDLE = [0] * 4 + [900] + [0] * 6

BREAKS: dict[str, tuple[Callable[[Observations], Observations], str, str]] = {
    "a failed check": (
        lambda s: attempt(s, "lake/weather", add(TODAY, -5), SourceDay(70, failed_checks=["temp_is_fahrenheit"])),
        "temp_is_fahrenheit",
        add(TODAY, -5),
    ),
    "a refused file": (
        lambda s: attempt(s, "lake/flights", add(TODAY, -1), SourceDay(refused="flights.csv has no header")),
        "flights.csv has no header",
        add(TODAY, -1),
    ),
    "a source that stopped": (
        lambda s: until(s, "lake/weather", add(TODAY, -3)), "lake/weather stopped", add(TODAY, -3)
    ),
    "a day that is not there": (
        lambda s: replace(
            s, sources=[s.sources[0], replace(s.sources[1], days={
                d: a for d, a in s.sources[1].days.items() if d != add(TODAY, -6)
            })]
        ), "lake/weather lacks", add(TODAY, -6)
    ),
    "a source that was never there": (
        lambda s: replace(s, sources=[*s.sources, Source("lake/crew")]), "lake/crew has no day", ""
    ),
    "an empty file": (
        lambda s: attempt(s, "lake/weather", TODAY, SourceDay(0)), "lake/weather", "has no rows"
    ),
    "a duplicated day": (
        lambda s: attempt(s, "lake/flights", TODAY, SourceDay(900, duplicates=900)), "50% of its rows duplicated", TODAY
    ),
    "a day of broken lines": (
        lambda s: attempt(s, "lake/flights", TODAY, SourceDay(600, quarantined=300)), "33% of its rows", ""
    ),
    "a column of nulls": (lambda s: column(s, NULLS, 1), "temp is missing in 100%", TODAY),
    "a constant column": (lambda s: column(s, MIDDLE, 3), "temp changed at once", add(TODAY, -2)),
    "another unit from one day on": (lambda s: column(s, TOP, 4), "temp changed at once", add(TODAY, -3)),
}  # fmt: skip


@pytest.mark.parametrize("name", BREAKS)
def test_broken_data_quarantines_in_spite_of_decay_and_is_named(name: str):
    assert decide(DECAYING, POLICY).verdict == "retrain"
    breaks, what, when = BREAKS[name]
    decision = decide(breaks(DECAYING), POLICY)
    assert decision.verdict == "quarantine"
    assert any(what in reason and when in reason for reason in decision.reasons), decision.reasons


@settings(max_examples=150, deadline=None)
@given(
    broken=st.sets(st.sampled_from(sorted(BREAKS)), min_size=1),
    auc=st.floats(-0.2, 0.5),
    shift=st.floats(0.01, 0.99),
    labels=st.integers(0, 10**6),
    history=st.lists(st.tuples(st.integers(-60, 0), st.sampled_from(["wait", "record", "retrain", "quarantine"]))),
    policy=st.builds(
        RetrainingSpec,
        cooldown_days=st.integers(1, 60),
        min_matured_labels=st.integers(1, 10**6),
        review_days=st.integers(1, 10),
        false_alarms_per_month=st.floats(0.01, 1),
    ),
)
def test_broken_data_never_retrains_whatever_else_is_observed(broken, auc, shift, labels, history, policy):
    seen = worse(SEEN, add(TODAY, -13), auc)
    moved = {"mean_prediction": shift}
    days = [replace(d, labelled=labels, metrics=d.metrics | moved) for d in seen.performance]
    past = [PastDecision(str(n), add(TODAY, ago), verdict) for n, (ago, verdict) in enumerate(history)]
    seen = replace(seen, performance=days, history=past)
    # A column is broken in one way at a time; a source may be in several.
    columns = [name for name in sorted(broken) if "column" in name or "unit" in name]
    policy = policy.model_copy(update={"fault_days": 3})
    for name in [*sorted(broken - set(columns)), *columns[:1]]:
        seen = BREAKS[name][0](seen)
    assert decide(seen, policy).verdict == "quarantine"


def test_a_repaired_day_is_no_fault_any_more():
    failed = attempt(DECAYING, "lake/weather", TODAY, SourceDay(70, failed_checks=["all_there"]))
    assert decide(failed, POLICY).verdict == "quarantine"
    assert decide(attempt(failed, "lake/weather", TODAY, SourceDay(70)), POLICY).verdict == "retrain"


def test_a_source_may_be_late_by_its_declared_days():
    assert decide(until(DECAYING, "lake/flights", add(TODAY, -3)), POLICY).verdict == "retrain"
    assert decide(until(DECAYING, "lake/flights", add(TODAY, -4)), POLICY).verdict == "quarantine"


def test_all_sources_stopping_while_requests_go_on_is_a_fault():
    seen = until(until(DECAYING, "lake/flights", add(TODAY, -9)), "lake/weather", add(TODAY, -9))
    assert {s.name for s in decide(seen, POLICY).signals if s.kind == "fault"} == {"lake/flights", "lake/weather"}


def test_a_column_that_may_be_broken_holds_a_retraining_until_it_is_clear():
    decision = decide(column(DECAYING, MIDDLE, 1), POLICY)
    assert (decision.verdict, decision.held_by) == ("wait", ["doubt"])
    assert any("temp changed at once" in reason for reason in decision.reasons)


def test_a_broken_column_stays_broken_until_it_is_well_again():
    long_since = column(DECAYING, TOP, 14)
    found = [PastDecision("1", add(TODAY, -1), "quarantine", ["temp"])]
    assert decide(replace(long_since, history=found), POLICY).verdict == "quarantine"
    assert decide(replace(column(DECAYING, BASELINE, 14), history=found), POLICY).verdict == "retrain"


def test_a_season_that_moves_a_column_to_its_last_bin_day_by_day_is_not_broken():
    names = [add(TODAY, -n) for n in range(13, -1, -1)]
    daily = {d: [0] * 8 + [max(0, 900 - 100 * n), min(900, 100 * n), 0] for n, d in enumerate(names)}
    labels = [*(f"bin {n}" for n in range(10)), "missing"]
    warmer = replace(SEEN, drift=[*SEEN.drift, ColumnCells("temp", labels, BASELINE, daily)])
    decision = decide(warmer, POLICY)
    assert decision.verdict == "record" and "temp" in " ".join(decision.reasons)


def test_a_column_that_is_one_value_on_each_day_by_nature_is_not_broken():
    labels = [*"1234567", "missing"]
    names = [add(TODAY, -n) for n in range(13, -1, -1)]
    daily = {d: [900 if cell == n % 7 else 0 for cell in range(8)] for n, d in enumerate(names)}
    weekday = ColumnCells("weekday", labels, [100] * 7 + [0], daily)
    assert decide(replace(DECAYING, drift=[*DECAYING.drift, weekday]), POLICY).verdict == "retrain"


def test_a_column_that_is_mostly_missing_by_nature_is_not_broken_when_it_is_missing():
    gusts = ColumnCells("gust", ["low", "high", "missing"], [50, 50, 900], {TODAY: [0, 0, 900]})
    assert decide(replace(DECAYING, drift=[*DECAYING.drift, gusts]), POLICY).verdict == "retrain"


@pytest.mark.parametrize(("days", "verdict"), [(6, "retrain"), (7, "quarantine")])
def test_a_column_that_is_mostly_missing_by_nature_is_broken_when_it_is_missing_for_a_week(days: int, verdict: str):
    names = [add(TODAY, -n) for n in range(13, -1, -1)]
    daily = {d: [0, 0, 900] if n >= 14 - days else [100, 80, 720] for n, d in enumerate(names)}
    gusts = ColumnCells("gust", ["low", "high", "missing"], [100, 100, 800], daily)
    decision = decide(replace(DECAYING, drift=[*DECAYING.drift, gusts]), POLICY)
    assert decision.verdict == verdict
    named = f"gust is missing in 100% of the rows from {add(TODAY, -6)}"
    assert any(named in reason for reason in decision.reasons) == (verdict == "quarantine")


def test_a_column_that_hardly_ever_has_a_value_may_be_missing_for_weeks():
    names = [add(TODAY, -n) for n in range(13, -1, -1)]
    snow = ColumnCells("snow", ["some", "missing"], [60, 940], {d: [0, 900] for d in names})
    assert decide(replace(DECAYING, drift=[*DECAYING.drift, snow]), POLICY).verdict == "retrain"
