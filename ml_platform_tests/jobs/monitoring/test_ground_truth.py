"""Predictions get their labels, and a day is final once it has matured."""

from dataclasses import replace
from datetime import date, datetime, timedelta
from typing import Any

import pandas as pd
import pytest
from pyspark.sql import SparkSession

from dbx_jobs.contract import Days
from dbx_jobs.errors import DataError
from dbx_jobs.jobs.ground_truth import build_ground_truth, read_watermark
from dbx_jobs.jobs.inference_log import build_log
from ml_platform_tests.jobs.monitoring import collected
from ml_platform_tests.jobs.monitoring.lake import Lake, each_day


def test_a_prediction_gets_its_own_label_and_one_that_never_arrived_none(done: Lake):
    truth = done.read("truth", "flight_id")
    on = done.rows["day"].between(date(2013, 4, 1), date(2013, 4, 3))
    wanted = done.rows[on].sort_values(["day", "flight_id"]).reset_index(drop=True)
    assert truth["flight_id"].tolist() == wanted["flight_id"].tolist()
    pd.testing.assert_series_equal(truth["delayed"], wanted["delayed"], check_dtype=False)
    assert truth["delayed"].isna().sum() > 0


def test_a_prediction_made_before_midnight_belongs_to_the_day_of_its_flight(sail: SparkSession, small: Lake):
    at = datetime.fromisoformat("2013-04-02T03:30:00Z")
    night = small.rows.head(1).assign(
        prediction_time=at, sched_dep_at=at + timedelta(hours=1), flight_id="night", day=date(2013, 4, 2)
    )
    collected.log_requests(night, small.root, deployment="green")
    collected.write_features(night, small.root / "features")
    build_log(sail, small.log_request())
    build_ground_truth(sail, small.truth_request(Days("2013-04-02", "2013-04-02")))
    (row,) = small.read("truth").to_dict("records")
    log = small.read("log")
    assert (row["flight_id"], row["day"]) == ("night", date(2013, 4, 2))
    assert log[log["flight_id"] == "night"]["day"].tolist() == [date(2013, 4, 1)]
    assert row["delayed"] == night["delayed"].iloc[0]


def test_a_day_is_final_only_after_its_maturity(done: Lake):
    truth = done.read("truth")
    # Flights are known up to the evening of April 4th: a whole day has passed after the 2nd, none after the 3rd.
    assert truth.groupby("day")["final"].unique().map(list).tolist() == [[True], [True], [False]]


def test_labels_that_come_late_make_the_day_complete_and_final(sail: SparkSession, small: Lake, flights: Any):
    day = each_day()[0]
    first = flights[flights["day"] == date(2013, 4, 1)]
    unknown = first.assign(delayed=first["delayed"].where(first["sched_dep_at"] < "2013-04-01T12:00:00Z"))
    build_log(sail, small.log_request(day))
    collected.write_features(unknown, small.root / "features")
    early = build_ground_truth(sail, small.truth_request(day)).extra[day.start]
    collected.write_features(flights, small.root / "features")
    report = build_ground_truth(sail, small.truth_request(day))
    late = report.extra[day.start]
    assert (early["predictions"], early["labelled"], early["final"]) == (len(small.rows), 0, False)
    assert (late["predictions"], late["labelled"], late["final"]) == (
        len(small.rows),
        small.rows["delayed"].count(),
        True,
    )
    assert report.partitions[0].changed


def test_two_labels_for_one_flight_are_refused(sail: SparkSession, small: Lake, flights: Any):
    build_log(sail, small.log_request(each_day()[0]))
    collected.write_features(pd.concat([flights, small.rows.head(1)]), small.root / "features")
    with pytest.raises(DataError, match="1 predictions of 2013-04-01 have more than one label"):
        build_ground_truth(sail, small.truth_request(each_day()[0]))


def test_a_watermark_column_that_is_not_there_is_refused_with_what_is(sail: SparkSession, done: Lake):
    request = replace(done.truth_request(), watermark_column="landed_at")
    with pytest.raises(DataError, match="no column 'landed_at'.*sched_dep_at"):
        build_ground_truth(sail, request)


def days_of_labels(sail: SparkSession, lake: Lake, flights: Any, last: date, day: Days) -> Any:
    """The ground truth of `day` once the feature table has the flights up to `last`."""
    collected.write_features(flights[flights["day"] <= last], lake.root / "features")
    build_ground_truth(sail, lake.truth_request(day))
    return lake.read("truth", "flight_id")


def newest(flights: Any, last: date) -> pd.Timestamp:
    return flights[flights["day"] <= last]["sched_dep_at"].max()


def test_a_label_keeps_the_time_at_which_it_became_known(sail: SparkSession, small: Lake, flights: Any):
    build_log(sail, small.log_request(each_day()[0]))
    cancelled, wrong = small.rows["flight_id"].iloc[:2]
    flights = flights.assign(delayed=flights["delayed"].mask(flights["flight_id"] == cancelled))
    first, second, third = (date(2013, 4, n) for n in (1, 2, 3))
    days_of_labels(sail, small, flights, first, each_day()[0])
    later = days_of_labels(sail, small, flights, second, each_day()[0])
    assert later[later["label_known_at"].isna()]["flight_id"].tolist() == [cancelled]
    assert set(later["label_known_at"].dropna()) == {newest(flights, first)}

    corrected = flights.assign(delayed=flights["delayed"].mask(flights["flight_id"] == wrong, 1 - flights["delayed"]))
    truth = days_of_labels(sail, small, corrected, third, each_day()[0]).set_index("flight_id")
    assert truth.loc[wrong, "label_known_at"] == newest(flights, third)
    others = truth[truth.index != wrong]
    assert set(others["label_known_at"].dropna()) == {newest(flights, first)}
    assert set(truth["known_at"]) == {newest(flights, third)} and truth["final"].all()


def test_a_watermark_that_moves_on_changes_nothing_by_itself(sail: SparkSession, small: Lake, flights: Any):
    build_log(sail, small.log_request(each_day()[0]))
    before = days_of_labels(sail, small, flights, date(2013, 4, 3), each_day()[0])
    version = small.version("truth")
    pd.testing.assert_frame_equal(days_of_labels(sail, small, flights, date(2013, 4, 4), each_day()[0]), before)
    assert small.version("truth") == version


def test_a_day_whose_labels_are_missing_is_not_final_however_late_it_is(sail: SparkSession, small: Lake, flights: Any):
    day = each_day()[0]
    build_log(sail, small.log_request(day))
    collected.write_features(flights[flights["day"] != date(2013, 4, 1)], small.root / "features")
    found = build_ground_truth(sail, small.truth_request(day)).extra[day.start]
    assert (found["predictions"], found["labelled"], found["final"]) == (len(small.rows), 0, False)
    assert not small.read("truth")["final"].any()


def test_the_watermark_is_the_latest_event_of_all_days_where_none_of_those_asked_for_has_come(
    sail: SparkSession, done: Lake
):
    latest = done.read("features")["sched_dep_at"].max()
    for day in ("2013-04-01", "2013-04-04", "2013-05-01"):
        assert read_watermark(sail, done.truth_request(Days(day, day))) == latest.floor("s")
