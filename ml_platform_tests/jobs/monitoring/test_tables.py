"""The monitoring tables do not depend on how often, or in which ranges, their days were computed."""

import pandas as pd
from pyspark.sql import SparkSession

from dbx_jobs.jobs.ground_truth import build_ground_truth
from dbx_jobs.jobs.inference_log import build_log
from dbx_jobs.jobs.performance import build_performance
from dbx_jobs.jobs.profile import build_profile
from ml_platform_tests.jobs.monitoring.lake import TABLES, Lake, each_day


def test_a_range_gives_the_same_tables_as_its_days_one_by_one(sail: SparkSession, done: Lake):
    ranged = {name: done.read(name, *order) for name, order in TABLES.items()}
    for days in each_day():
        build_log(sail, done.log_request(days, "log_by_day"))
        build_ground_truth(sail, done.truth_request(days, "truth_by_day"))
        build_profile(sail, done.profile_request(days, "drift_by_day"))
        build_performance(sail, done.performance_request(days, "performance_by_day"))
    by_day = {name: f"{name}_by_day" for name in TABLES} | {"performance_ledger": "performance_by_day_ledger"}
    for name, order in TABLES.items():
        pd.testing.assert_frame_equal(done.read(by_day[name], *order), ranged[name], check_exact=True)


def test_a_second_run_writes_nothing(sail: SparkSession, done: Lake):
    versions = {name: done.version(name) for name in TABLES}
    reports = [
        build_log(sail, done.log_request()),
        build_ground_truth(sail, done.truth_request()),
        build_profile(sail, done.profile_request()),
        build_performance(sail, done.performance_request()),
    ]
    assert not any(partition.changed for report in reports for partition in report.partitions)
    assert versions == {name: done.version(name) for name in TABLES}
