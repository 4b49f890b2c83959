"""Histograms of a day count what is there, in the baseline's cells."""

import json
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from deltalake import write_deltalake
from pyspark.sql import SparkSession

from dbx_jobs.errors import DataError
from dbx_jobs.jobs.profile import build_profile
from ml_platform.scoring.encoding import BASELINE_FILE, Input, Signature
from ml_platform.training.baseline import write_baseline
from ml_platform.training.data import Rows
from ml_platform_tests.jobs.monitoring import collected
from ml_platform_tests.jobs.monitoring.lake import (
    BASELINE,
    Lake,
    each_day,
)


def test_every_cell_counts_the_rows_that_numpy_counts(done: Lake):
    drift, log = done.read("drift", "column", "cell"), done.read("log")
    for day, rows in log.groupby("day"):
        cells = drift[drift["day"] == day].groupby("column")
        counts = {column: group["count"].tolist() for column, group in cells}
        ends = (float("-inf"), float("inf"))
        distance = np.histogram(rows["distance"], [ends[0], 500, 1000, 2000, ends[1]])[0].tolist()
        probability = np.histogram(rows["probability"], [ends[0], 0.2, 0.31, 0.4, ends[1]])[0].tolist()
        named = [int((rows["carrier"] == name).sum()) for name in ("UA", "B6")]
        assert counts == {
            "carrier": [*named, len(rows) - sum(named), 0],
            "distance": [*distance, 0],
            "hour": [len(rows), 0],
            "prediction": [*probability, 0],
        }
    baseline = drift[drift["day"] == date(2013, 4, 1)].groupby("column")["baseline_count"].apply(list)
    assert baseline["carrier"] == [300, 300, 380, 20]
    assert baseline["distance"] == [300, 300, 300, 100, 0]
    assert drift["label"][drift["column"] == "distance"].head(5).tolist() == [
        "-inf to 500",
        "500 to 1000",
        "1000 to 2000",
        "2000 to inf",
        "missing",
    ]


def test_missing_values_nan_and_unknown_categories_have_cells_of_their_own(sail: SparkSession, tmp_path: Path):
    rows = pd.DataFrame(
        {
            "day": [date(2013, 4, 1)] * 4,
            "model_version": ["3", "3", "4", "3"],
            "probability": [0.1, 0.2, 0.9, 0.5],
            "carrier": ["UA", None, "ZZ", "it's"],
            "distance": [float("nan"), 500.0, None, 1e9],
            "hour": [1, 2, 3, 4],
        }
    )
    write_deltalake(str(tmp_path / "log"), rows)
    lake = Lake(tmp_path, rows)
    report = build_profile(sail, lake.profile_request(each_day()[0]))
    counts = lake.read("drift", "column", "cell").groupby("column")["count"].apply(list).to_dict()
    assert counts["carrier"] == [1, 0, 2, 1]
    assert counts["distance"] == [0, 1, 0, 1, 2]
    # The prediction of version 4 says nothing about version 3's model.
    assert counts["prediction"] == [1, 1, 0, 1, 0]
    assert report.extra == {"2013-04-01": {"rows": 4, "of_baseline_version": 3}}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda b: b.pop("prediction"), "must have 'features' and 'prediction'"),
        (lambda b: b["features"]["distance"].update(edges=[1.0, 1.0, 2.0]), "'distance' needs rising edges"),
        (lambda b: b["features"]["distance"].update(counts=[1]), "'distance' needs rising edges, one less than counts"),
        (lambda b: b["features"]["carrier"].pop("other"), "'carrier' lacks or does not know 'other'"),
        (lambda b: b["features"]["carrier"].update(kind="text"), "'carrier' lacks or does not know 'text'"),
        (lambda b: b["features"].update(tail=b["features"]["hour"]), r"no column \['tail'\]"),
    ],
)
def test_a_baseline_that_does_not_fit_is_refused_by_the_column(
    sail: SparkSession, done: Lake, change: Callable[[dict[str, Any]], object], message: str
):
    import copy

    baseline = copy.deepcopy(BASELINE)
    change(baseline)
    with pytest.raises(DataError, match=message):
        build_profile(sail, done.profile_request(baseline=baseline))


def test_the_baseline_that_training_writes_fits_and_its_own_rows_fall_into_its_cells(
    sail: SparkSession, done: Lake, tmp_path: Path
):
    features = done.read("log")[list(collected.FEATURES)]
    kinds: dict[str, Any] = {name: "categorical" if name in ("carrier", "origin") else "numeric" for name in features}
    label, day = np.zeros(len(features), dtype=np.int8), np.full(len(features), "2013-04-01")
    categories = {"carrier": ("AA", "B6", "UA"), "origin": ("EWR", "JFK")}
    signature = Signature(tuple(Input(name, kinds[name], categories.get(name, ())) for name in features), "probability")
    write_baseline(Rows(features, kinds, label, day), done.read("log")["probability"].to_numpy(), signature, tmp_path)
    baseline = json.loads((tmp_path / BASELINE_FILE).read_text())
    build_profile(sail, done.profile_request(table="drift_of_training", baseline=baseline))
    drift = done.read("drift_of_training").groupby(["column", "cell"])[["count", "baseline_count"]].sum()
    # The three days together are the rows of the baseline, which stands beside each of them.
    assert (drift["count"] * 3 == drift["baseline_count"]).all()
