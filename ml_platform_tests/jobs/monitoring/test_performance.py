"""Metrics of a day are scikit-learn's, missing where they do not exist."""

from datetime import UTC, date, datetime
from pathlib import Path

import pandas as pd
import pytest
from deltalake import write_deltalake
from pyspark.sql import SparkSession

from dbx_jobs.contract import Days, TableReport
from dbx_jobs.errors import DataError
from dbx_jobs.jobs.ground_truth import build_ground_truth
from dbx_jobs.jobs.inference_log import build_log
from dbx_jobs.jobs.performance import build_performance
from ml_platform_tests.jobs.monitoring.lake import Lake, each_day, only_file

COUNTS = ("rows", "labelled", "final", "model_version", "revision")


def test_metrics_equal_scikit_learns(done: Lake):
    from sklearn.metrics import average_precision_score, brier_score_loss, log_loss, roc_auc_score

    truth = done.read("truth").merge(done.read("log")[["prediction_id", "probability"]], on="prediction_id")
    for row in done.read("performance").to_dict("records"):
        rows = truth[(truth["day"] == row["day"]) & truth["delayed"].notna()]
        label, score = rows["delayed"].astype(int), rows["probability"]
        theirs = {
            "roc_auc": roc_auc_score(label, score),
            "average_precision": average_precision_score(label, score),
            "log_loss": log_loss(label, score),
            "brier": brier_score_loss(label, score),
            "base_rate": label.mean(),
            "mean_prediction": score.mean(),
        }
        assert {name: row[name] for name in theirs} == pytest.approx(theirs, abs=1e-9)
        assert all(row[f"{name}_low"] < row[name] < row[f"{name}_high"] for name in theirs)
        assert (row["rows"], row["labelled"]) == ((truth["day"] == row["day"]).sum(), len(rows))
    assert done.read("performance")["final"].tolist() == [True, True, False]


def performance_of(sail: SparkSession, folder: Path, labels: list[int | None], scores: list[float]) -> TableReport:
    ids = [f"p{n}" for n in range(len(labels))]
    day = [date(2013, 4, 1)] * len(labels)
    write_deltalake(
        str(folder / "log"),
        pd.DataFrame({"day": day, "prediction_id": ids, "probability": scores, "model_version": "1"}),
    )
    label = pd.array(labels, dtype="Int32")
    truth = pd.DataFrame({"day": day, "prediction_id": ids, "delayed": label, "final": [True] * len(labels)})
    truth["known_at"] = datetime(2013, 4, 3, tzinfo=UTC)
    write_deltalake(str(folder / "truth"), truth)
    lake = Lake(folder, truth)
    return build_performance(sail, lake.performance_request(Days("2013-04-01", "2013-04-02")))


@pytest.mark.parametrize("label", [0, 1])
def test_a_day_of_one_class_has_no_auc_but_the_other_metrics(sail: SparkSession, tmp_path: Path, label: int):
    found = performance_of(sail, tmp_path, [label, label, None], [0.2, 0.4, 0.9]).extra["2013-04-01"]
    assert (found["roc_auc"], found["roc_auc_low"], found["roc_auc_high"]) == (None, None, None)
    assert found["brier"] == pytest.approx(((label - 0.2) ** 2 + (label - 0.4) ** 2) / 2)
    assert (found["rows"], found["labelled"]) == (3, 2)


def test_a_day_without_labels_or_predictions_has_counts_and_no_metrics(sail: SparkSession, tmp_path: Path):
    extra = performance_of(sail, tmp_path, [None, None], [0.2, 0.4]).extra
    unlabelled, empty = extra["2013-04-01"], extra["2013-04-02"]
    assert (unlabelled["rows"], unlabelled["labelled"], unlabelled["final"]) == (2, 0, True)
    assert (empty["rows"], empty["labelled"], empty["final"]) == (0, 0, False)
    for day in (unlabelled, empty):
        assert {value for name, value in day.items() if name not in COUNTS} == {None}


def test_probabilities_of_0_and_1_give_a_finite_log_loss(sail: SparkSession, tmp_path: Path):
    found = performance_of(sail, tmp_path, [1, 0, 1, 0], [0.0, 1.0, 1.0, 0.0]).extra["2013-04-01"]
    assert found["log_loss"] == pytest.approx(8.0590479, abs=1e-6)  # half of -ln(1e-7)
    assert found["roc_auc"] == 0.5


def test_a_label_that_is_neither_0_nor_1_is_refused(sail: SparkSession, tmp_path: Path):
    with pytest.raises(DataError, match="values other than 0, 1 and null"):
        performance_of(sail, tmp_path, [0, 1, 2], [0.1, 0.2, 0.3])


def test_ground_truth_of_predictions_that_the_log_lost_is_refused(sail: SparkSession, small: Lake):
    day = each_day()[0]
    build_log(sail, small.log_request(day))
    build_ground_truth(sail, small.truth_request(day))
    only_file(small, "model_outputs").unlink()
    build_log(sail, small.log_request(day))
    with pytest.raises(DataError, match="build the ground truth of this day again"):
        build_performance(sail, small.performance_request(day))


def test_ground_truth_from_before_the_ledger_is_refused(sail: SparkSession, tmp_path: Path):
    truth = pd.DataFrame({"day": [date(2013, 4, 1)], "prediction_id": ["p0"], "delayed": [1], "final": [True]})
    write_deltalake(str(tmp_path / "truth"), truth)
    write_deltalake(str(tmp_path / "log"), truth[["day", "prediction_id"]].assign(probability=0.5, model_version="1"))
    with pytest.raises(DataError, match="no column 'known_at'; build the ground truth again"):
        build_performance(sail, Lake(tmp_path, truth).performance_request())
