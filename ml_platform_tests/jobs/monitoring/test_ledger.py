"""The ledger keeps what was known of a day's performance, and since when."""

from dataclasses import replace
from datetime import date
from typing import Any

import pandas as pd
import pytest
from pyspark.sql import SparkSession

from dbx_jobs.contract import Days
from dbx_jobs.jobs import performance
from dbx_jobs.jobs.ground_truth import build_ground_truth
from dbx_jobs.jobs.inference_log import build_log
from dbx_jobs.jobs.performance import build_performance
from dbx_jobs.ledger import revised
from ml_platform_tests.jobs.monitoring import collected
from ml_platform_tests.jobs.monitoring.lake import Lake, each_day

DAY = each_day()[0]
LEDGER = "performance_ledger"


@pytest.fixture
def logged(sail: SparkSession, small: Lake) -> Lake:
    """A lake with the predictions of some flights of April 1st, and no labels yet."""
    build_log(sail, small.log_request(DAY))
    return small


def measured(sail: SparkSession, lake: Lake, features: Any) -> Any:
    """The ledger after ground truth and performance were built on `features`."""
    collected.write_features(features, lake.root / "features")
    build_ground_truth(sail, lake.truth_request(DAY))
    build_performance(sail, lake.performance_request(DAY))
    return lake.read(LEDGER, "revision")


def up_to(flights: Any, day: int) -> Any:
    return flights[flights["day"] <= date(2013, 4, day)]


def half_labelled(flights: Any) -> Any:
    return flights.assign(delayed=flights["delayed"].where(flights.index % 2 == 0))


def test_provisional_figures_stay_when_the_final_ones_come(sail: SparkSession, logged: Lake, flights: Any):
    first = measured(sail, logged, half_labelled(up_to(flights, 1)))
    second = measured(sail, logged, up_to(flights, 2))
    ledger = measured(sail, logged, up_to(flights, 3))
    pd.testing.assert_frame_equal(ledger.head(1), first)
    pd.testing.assert_frame_equal(ledger.head(2), second)
    assert ledger["revision"].tolist() == [1, 2, 3]
    assert ledger["final"].tolist() == [False, False, True]
    assert ledger["labelled"].is_monotonic_increasing and ledger["labelled"][0] < ledger["labelled"][1]
    assert ledger["known_at"].tolist() == [up_to(flights, day)["sched_dep_at"].max() for day in (1, 2, 3)]
    newest = ledger.drop(columns=["revision", "known_at"]).tail(1).reset_index(drop=True)
    pd.testing.assert_frame_equal(newest, logged.read("performance")[newest.columns])


def test_a_corrected_label_adds_a_row_and_leaves_the_final_one(sail: SparkSession, logged: Lake, flights: Any):
    before = measured(sail, logged, up_to(flights, 3))
    wrong = logged.rows[logged.rows["delayed"].notna()]["flight_id"].iloc[0]
    corrected = flights.assign(delayed=flights["delayed"].mask(flights["flight_id"] == wrong, 1 - flights["delayed"]))
    after = measured(sail, logged, corrected)
    pd.testing.assert_frame_equal(after.head(1), before)
    assert after["final"].tolist() == [True, True] and after["base_rate"].nunique() == 2
    assert after["known_at"][1] == corrected["sched_dep_at"].max() > after["known_at"][0]


def test_nothing_new_adds_no_row_though_other_days_came(sail: SparkSession, logged: Lake, flights: Any):
    before = measured(sail, logged, up_to(flights, 3))
    version = logged.version(LEDGER)
    pd.testing.assert_frame_equal(measured(sail, logged, up_to(flights, 4)), before)
    assert logged.version(LEDGER) == version


def test_a_run_that_ended_between_ledger_and_table_is_repeated_without_a_second_row(
    sail: SparkSession, logged: Lake, flights: Any, monkeypatch: pytest.MonkeyPatch
):
    def killed(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(performance, "replace_days", killed)
        measured(sail, logged, flights)
    assert logged.read(LEDGER)["revision"].tolist() == [1]
    assert measured(sail, logged, flights)["revision"].tolist() == [1]
    assert len(logged.read("performance")) == 1


def test_a_day_without_predictions_has_no_row(sail: SparkSession, logged: Lake, flights: Any):
    measured(sail, logged, flights)
    report = build_performance(sail, logged.performance_request(Days(DAY.start, "2013-04-02")))
    assert {day: row["revision"] for day, row in report.extra.items()} == {"2013-04-01": 1, "2013-04-02": 0}
    assert logged.read(LEDGER)["day"].tolist() == [date(2013, 4, 1)]


def test_the_ledger_of_one_day_leaves_those_of_the_others(sail: SparkSession, done: Lake):
    request = replace(done.performance_request(), table_uri=done.uri("one"), ledger_uri=done.uri("one_ledger"))
    build_performance(sail, request)
    whole = done.read("one_ledger", "revision")
    build_performance(sail, replace(request, days=each_day()[1], confidence=0.5))
    ledger = done.read("one_ledger", "revision")
    assert ledger.groupby("day")["revision"].max().tolist() == [1, 2, 1]
    pd.testing.assert_frame_equal(ledger[ledger["revision"] == 1].reset_index(drop=True), whole)


def test_what_is_known_is_never_older_than_what_was():
    first = revised([], {"rows": 3, "labelled": 2}, 20)
    second = revised(first, {"rows": 2, "labelled": 1}, 10)
    assert [(row["revision"], row["known_at"]) for row in second] == [(1, 20), (2, 20)]
