"""The monitoring jobs' transformations give equal values on Sail and on JVM Spark, which Databricks is."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable
from pyspark.sql import DataFrame, SparkSession

from dbx_jobs.baseline import parse_baseline
from dbx_jobs.contract import Days
from dbx_jobs.jobs.ground_truth import date_rows, join_labels
from dbx_jobs.jobs.inference_log import log_of, logged_fields, parsed_lines, predictions_of, quarantine_of, repeats_of
from dbx_jobs.jobs.performance import day_sums, measure, scored, scores
from dbx_jobs.jobs.profile import complete, count_cells
from dbx_jobs.runtime import materialized
from ml_platform_tests.jobs.monitoring import collected
from ml_platform_tests.jobs.monitoring.lake import BASELINE, DAYS, Lake, only_file


def values(frame: DataFrame) -> list[tuple[Any, ...]]:
    """The rows in one order, timestamps as text in the session's UTC."""
    columns = [frame[name].cast("string") if kind == "timestamp" else frame[name] for name, kind in frame.dtypes]
    return sorted((tuple(row) for row in frame.select(*columns).collect()), key=repr)


def read(spark: SparkSession, lake: Lake, table: str, folder: Path) -> DataFrame:
    """A Delta table through Parquet, since JVM Spark has no Delta here."""
    file = folder / f"{table}.parquet"
    if not file.exists():
        pq.write_table(DeltaTable(str(lake.root / table)).to_pyarrow_table(), file)
    return spark.read.parquet(file.as_uri())


def test_the_inference_log_and_its_quarantine_are_equal(sail: SparkSession, jvm: SparkSession, small: Lake):
    inputs, outputs = only_file(small, "model_inputs"), only_file(small, "model_outputs")
    lines = outputs.read_text().splitlines()
    collected.append(outputs, [lines[0], "", "not json", "{}", lines[1][:-20]])
    collected.append(inputs, [inputs.read_text().splitlines()[0].replace("T12:", "T17:"), '{"data": [1], "time": 3}'])
    request = small.log_request(Days("2013-04-01", "2013-04-01"))
    fields = logged_fields(sail, request)
    found = []
    for spark in (sail, jvm):
        with materialized(spark, parsed_lines(spark, request, fields)) as parsed:
            predictions = predictions_of(parsed, request, fields)
            frames = (log_of(predictions, request, fields), quarantine_of(parsed, predictions, request))
            found.append([values(frame) for frame in (*frames, repeats_of(parsed, request))])
    assert found[0] == found[1]
    log, quarantine, repeats = found[0]
    assert (len(log), len(quarantine), repeats[0][1]) == (len(small.rows), 5, 1)


def test_a_day_without_files_is_empty_on_both(sail: SparkSession, jvm: SparkSession, small: Lake):
    request = small.log_request(Days("2013-07-01", "2013-07-01"))
    fields = logged_fields(sail, request)
    for spark in (sail, jvm):
        assert (
            values(log_of(predictions_of(parsed_lines(spark, request, fields), request, fields), request, fields)) == []
        )


def test_ground_truth_is_equal(sail: SparkSession, jvm: SparkSession, done: Lake, tmp_path: Path):
    watermark = datetime(2013, 4, 5, 1, 2, 3, 456789, tzinfo=UTC)

    def truth(spark: SparkSession, matured: set[str], kept: list[str]) -> list[tuple[Any, ...]]:
        log, features = (read(spark, done, name, tmp_path) for name in ("log", "features"))
        rows = join_labels(log, features, done.truth_request(), matured)
        known = read(spark, done, "truth", tmp_path).select(*kept) if kept else None
        return values(date_rows(rows, known, "delayed", watermark))

    columns = ["day", "prediction_id", "delayed", "final"]
    for kept in ([], columns, [*columns, "label_known_at", "known_at"]):
        for matured in (set(), {"2013-04-01", "2013-04-02"}):
            assert truth(sail, matured, kept) == truth(jvm, matured, kept) != []


def test_histograms_are_equal(sail: SparkSession, jvm: SparkSession, done: Lake, tmp_path: Path):
    request, columns = done.profile_request(), parse_baseline(BASELINE)

    def cells(spark: SparkSession) -> list[tuple[Any, ...]]:
        log = read(spark, done, "log", tmp_path).where(f"day BETWEEN '{DAYS.start}' AND '{DAYS.end}'")
        return values(complete(spark, request, columns, count_cells(log, columns, "3")))

    assert cells(sail) == cells(jvm) != []


def test_performance_is_equal(sail: SparkSession, jvm: SparkSession, done: Lake, tmp_path: Path):
    def metrics(spark: SparkSession) -> list[dict[str, Any]]:
        truth, log = (read(spark, done, name, tmp_path) for name in ("truth", "log"))
        sums = day_sums(scores(scored(truth, log, "delayed"))).collect()
        ordered = sorted(sums, key=lambda row: row["day"])
        return [measure(row, 0.95) | {"known_at": row["known_at"]} for row in ordered]

    for ours, theirs in zip(metrics(sail), metrics(jvm), strict=True):
        assert ours == pytest.approx(theirs, abs=1e-10)
