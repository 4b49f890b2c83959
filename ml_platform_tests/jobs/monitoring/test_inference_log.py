"""The inference log holds each prediction once, typed, on its local day; what does not fit is quarantined."""

import json
from datetime import date, datetime, timedelta
from typing import Any

import pandas as pd
import pytest
from deltalake import DeltaTable, write_deltalake
from pyspark.sql import SparkSession

from dbx_jobs.contract import Days
from dbx_jobs.errors import DataError
from dbx_jobs.jobs.inference_log import build_log
from ml_platform_tests.jobs.monitoring import collected
from ml_platform_tests.jobs.monitoring.lake import ZONE, Lake, each_day, only_file


def test_every_logged_prediction_is_there_once_with_its_features_in_the_feature_tables_types(done: Lake):
    log = done.read("log", "flight_id")
    local_day = done.rows["prediction_time"].dt.tz_convert(ZONE).dt.date
    wanted = done.rows[local_day.between(date(2013, 4, 1), date(2013, 4, 3))].assign(day=local_day)
    wanted = wanted.sort_values(["day", "flight_id"]).reset_index(drop=True)
    assert log["prediction_id"].is_unique
    for name in ("day", "flight_id", "sched_dep_at", "probability", *collected.FEATURES):
        pd.testing.assert_series_equal(log[name], wanted[name], check_dtype=False, check_names=False)
    pd.testing.assert_series_equal(log["logged_at"], wanted["prediction_time"], check_names=False, check_dtype=False)
    schema = {field.name: str(field.type.type) for field in DeltaTable(str(done.root / "log")).schema().fields}
    assert (schema["hour"], schema["distance"], schema["carrier"]) == ("integer", "double", "string")
    assert set(log["deployment"]) == {"blue"} and set(log["model_version"]) == {"3"}
    assert not {"delayed", "prediction_time"} & set(schema)


def test_no_file_is_read_twice_however_many_there_are(sail: SparkSession, done: Lake):
    files = [file.stat().st_size for file in (done.root / collected.ENDPOINT).rglob("*.jsonl")]
    assert sum(files) > 2**20  # Sail splits a read as large as this
    report = build_log(sail, done.log_request(table="log_again"))
    assert [(partition.duplicates, partition.quarantined) for partition in report.partitions] == [(0, 0)] * 3


def test_the_day_of_a_prediction_is_new_yorks_where_utc_is_a_day_further(done: Lake):
    log = done.read("log")
    late = log[log["logged_at"].dt.date != log["day"]]
    assert len(late) > 10
    assert set(late["logged_at"].dt.hour) <= {0, 1, 2, 3}


def test_both_days_around_a_clock_change_get_all_their_hours(sail: SparkSession, small: Lake):
    template = small.rows.head(1)
    times = pd.to_datetime([f"2013-11-0{d}T{h:02d}:30:00Z" for d in (3, 4) for h in range(24)])
    rows = pd.concat([template] * len(times)).assign(prediction_time=times, sched_dep_at=times + timedelta(hours=1))
    collected.log_requests(rows, small.root, deployment="green")
    build_log(sail, small.log_request(Days("2013-11-03", "2013-11-03")))
    logged = small.read("log")["logged_at"]
    assert (len(logged), logged.min().hour, logged.max().day, logged.max().hour) == (25, 4, 4, 4)


def test_a_number_keeps_its_last_bit(sail: SparkSession, small: Lake):
    template = small.rows.head(1)
    times = pd.to_datetime(["2013-11-03T15:30:00Z"] * 300)
    rows = pd.concat([template] * 300).assign(prediction_time=times, sched_dep_at=times)
    numbers = [n / 7 * 10 ** (n % 11 - 5) for n in range(300)]
    collected.log_requests(rows.assign(distance=numbers), small.root, deployment="green")
    build_log(sail, small.log_request(Days("2013-11-03", "2013-11-03")))
    assert sorted(small.read("log")["distance"]) == sorted(numbers)


def test_a_line_that_was_written_twice_counts_once(sail: SparkSession, small: Lake):
    for collection in ("model_inputs", "model_outputs"):
        file = only_file(small, collection)
        lines = file.read_text().splitlines()
        collected.append(file, lines[:3])
        collected.append(file.with_name("instance-1.jsonl"), lines[2:4])
    (report,) = build_log(sail, small.log_request(each_day()[0])).partitions
    assert (report.rows, report.duplicates, report.quarantined) == (len(small.rows), 10, 0)


def test_a_last_line_torn_by_a_kill_is_quarantined_with_its_file_and_line_and_the_rest_is_logged(
    sail: SparkSession, small: Lake
):
    file = only_file(small, "model_outputs")
    text = file.read_text().rstrip("\n")
    torn = text.splitlines()[-1]
    file.write_text(text[:-30])
    report = build_log(sail, small.log_request(each_day()[0])).partitions[0]
    lost = torn.count('"flight_id"')
    assert (report.rows, report.quarantined) == (len(small.rows) - lost, 1 + lost)
    quarantine = small.read("quarantine_log", "reason", "line")
    broken = quarantine[quarantine["value"].notna()]
    assert broken["reason"].tolist() == ["is no whole record of the data collector"]
    assert broken["file"].tolist() == ["blue/model_outputs/2013/04/01/12/instance-0.jsonl"]
    assert broken["line"].tolist() == [len(text.splitlines())]
    assert set(quarantine["reason"][quarantine["value"].isna()]) == {"has no record in model_outputs"}


def test_a_torn_line_that_is_whole_in_the_next_run_leaves_the_quarantine(sail: SparkSession, small: Lake):
    file = only_file(small, "model_outputs")
    whole = file.read_text()
    file.write_text(whole[:-31])
    build_log(sail, small.log_request(each_day()[0]))
    file.write_text(whole)
    (report,) = build_log(sail, small.log_request(each_day()[0])).partitions
    assert (report.rows, report.quarantined, len(small.read("quarantine_log"))) == (len(small.rows), 0, 0)


@pytest.mark.parametrize(
    ("collection", "entry", "reason"),
    [
        ("model_inputs", {"flight_id": "x"}, "has no sched_dep_at in model_inputs"),
        ("model_inputs", {"sched_dep_at": "2013-04-01T13:00:00Z"}, "has no flight_id in model_inputs"),
        ("model_outputs", {"probability": None}, "has no probability from 0 to 1"),
        ("model_outputs", {"probability": 1.5}, "has no probability from 0 to 1"),
    ],
)
def test_half_a_prediction_is_quarantined_with_the_reason(
    sail: SparkSession, small: Lake, collection: str, entry: dict[str, Any], reason: str
):
    at = datetime.fromisoformat("2013-04-01T12:30:00Z")
    whole = {
        "model_inputs": {"flight_id": "x", "sched_dep_at": "2013-04-01T13:00:00Z"},
        "model_outputs": {"probability": 0.5},
    }
    for name, values in (whole | {collection: entry}).items():
        collected.append(only_file(small, name), [collected.line(name, "another", at, [values])])
    (report,) = build_log(sail, small.log_request(each_day()[0])).partitions
    assert (report.rows, report.quarantined) == (len(small.rows), 1)
    assert small.read("quarantine_log")["reason"].tolist() == [reason]


def test_of_two_records_with_one_prediction_id_the_first_counts(sail: SparkSession, small: Lake):
    at = datetime.fromisoformat("2013-04-01T12:59:59Z")
    file = only_file(small, "model_outputs")
    request = json.loads(file.read_text().splitlines()[0])["correlationid"]
    collected.append(file, [collected.line("model_outputs", request, at, [{"probability": 0.99}])])
    (report,) = build_log(sail, small.log_request(each_day()[0])).partitions
    assert (report.rows, report.quarantined) == (len(small.rows), 1)
    assert 0.99 not in set(small.read("log")["probability"])


def test_all_deployments_of_the_endpoint_are_read_and_named(sail: SparkSession, small: Lake):
    collected.log_requests(small.rows, small.root, deployment="green", version="4")
    build_log(sail, small.log_request(each_day()[0]))
    log = small.read("log")
    assert log.groupby(["deployment", "model_version"]).size().to_dict() == {
        ("blue", "3"): len(small.rows),
        ("green", "4"): len(small.rows),
    }


def test_whole_numbers_that_a_client_sent_as_3_point_0_and_missing_values_keep_their_type(
    sail: SparkSession, small: Lake
):
    at = datetime.fromisoformat("2013-04-01T12:30:00Z")
    entry = {"flight_id": "x", "sched_dep_at": "2013-04-01T13:00:00Z", "hour": 9.0, "distance": None, "carrier": None}
    collected.append(only_file(small, "model_inputs"), [collected.line("model_inputs", "r", at, [entry])])
    collected.append(
        only_file(small, "model_outputs"), [collected.line("model_outputs", "r", at, [{"probability": 0.5}])]
    )
    build_log(sail, small.log_request(each_day()[0]))
    log = small.read("log")
    row = log[log["flight_id"] == "x"].iloc[0]
    assert (row["hour"], row["origin"], row["carrier"]) == (9, None, None)
    assert pd.isna(row["distance"])


def test_a_day_without_any_file_gives_an_empty_partition_and_a_table(sail: SparkSession, small: Lake):
    (report,) = build_log(sail, small.log_request(Days("2013-07-01", "2013-07-01"))).partitions
    assert (report.partition, report.rows) == ("2013-07-01", 0)
    assert len(small.read("log")) == 0


def test_a_feature_with_a_name_of_the_logs_own_is_refused(sail: SparkSession, small: Lake):
    features = DeltaTable(str(small.root / "features")).to_pandas().rename(columns={"origin": "probability"})
    write_deltalake(str(small.root / "features"), features, mode="overwrite", schema_mode="overwrite")
    with pytest.raises(DataError, match=r"\['probability'\] are names of the inference log"):
        build_log(sail, small.log_request())
