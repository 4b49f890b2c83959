"""The training program: one request, one version, the same bits; what does not fit is refused by name."""

import base64
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from mlflow import MlflowClient

from ml_platform.errors import LakeError, SpecError
from ml_platform.scoring.pyfunc import ServingModel
from ml_platform.training.contract import SERVING_PATH, Days, Metric, Tracking, TrainingReport, TrainingRequest
from ml_platform.training.train import train
from ml_platform_tests.training.conftest import Tables, features, make_request, write

Silent = [].append


@pytest.fixture(scope="module")
def trained(tables: Tables, store: Callable[[], Tracking]) -> TrainingRequest:
    return make_request(tables.honest, store())


@pytest.fixture(scope="module")
def report(trained: TrainingRequest) -> TrainingReport:
    return train(trained, Silent)


def serving(request: TrainingRequest, report: TrainingReport, folder: Path) -> Path:
    return Path(MlflowClient(request.tracking.uri).download_artifacts(report.run_id, SERVING_PATH, str(folder)))


def test_a_version_carries_what_its_judges_need(trained: TrainingRequest, report: TrainingReport, tmp_path: Path):
    client = MlflowClient(trained.tracking.uri)
    version = client.get_model_version(report.model, report.version)
    assert version.tags["fingerprint"] == report.fingerprint
    assert (version.tags["fitted_until"], version.tags["holdout_start"]) == ("2013-02-03", "2013-02-04")
    run = client.get_run(report.run_id)
    assert run.info.status == "FINISHED"
    auc = report.metrics["roc_auc"]
    assert run.data.metrics["roc_auc"] == pytest.approx(auc.point)
    assert 0.55 < auc.lower < auc.point < auc.upper < 0.85
    assert {item.name for item in report.slices} == {"origin=EWR", "origin=JFK", "origin=LGA", "month=2013-02"}
    assert "Delta version **0**" in report.card and "## Limits" in report.card
    for name, picture in report.plots.items():
        png = base64.b64decode(picture)
        assert png.startswith(b"\x89PNG") and len(png) < 50_000, name
    files = [path.name for path in Path(client.download_artifacts(report.run_id, "", str(tmp_path))).rglob("*")]
    assert "model.onnx" in files and "card.md" in files
    assert not [name for name in files if name.endswith((".pkl", ".pickle", ".joblib", ".skops"))]


def test_the_parts_follow_each_other_and_hold_the_labelled_rows_only(report: TrainingReport):
    days = [report.parts[name].days for name in ("train", "validation", "holdout")]
    assert [d.start for d in days] == ["2013-01-07", "2013-01-28", "2013-02-04"]
    assert [d.end for d in days] == ["2013-01-27", "2013-02-03", "2013-02-10"]
    rows = features()
    for part in report.parts.values():
        inside = rows.loc[rows["day"].astype(str).between(part.days.start, part.days.end)]
        assert part.rows == len(inside.dropna(subset=["delayed"])) < len(inside)
        assert part.positives == inside["delayed"].sum()


def test_the_served_model_gives_the_reported_metric_and_mlflow_loads_it(
    trained: TrainingRequest, report: TrainingReport, tmp_path: Path
):
    import mlflow.pyfunc
    from sklearn.metrics import log_loss, roc_auc_score

    rows = features()
    rows = rows.loc[rows["day"].astype(str) >= "2013-02-04"].dropna(subset=["delayed"])
    model = ServingModel(serving(trained, report, tmp_path))
    raw: pd.DataFrame = rows.loc[:, list(model.signature.names)].astype({"distance": "float64", "hour": "float64"})
    score = model.score_columns({name: raw[name].to_numpy() for name in raw})
    label = rows["delayed"].to_numpy(dtype=int)
    assert roc_auc_score(label, score) == pytest.approx(report.metrics["roc_auc"].point, abs=1e-6)
    assert log_loss(label, score.astype(float)) == pytest.approx(report.metrics["log_loss"].point, abs=1e-5)
    source = MlflowClient(trained.tracking.uri).get_model_version(report.model, report.version).source
    loaded = mlflow.pyfunc.load_model(str(source))
    np.testing.assert_array_equal(loaded.predict(raw)["probability"].to_numpy(), score)


def test_the_baseline_counts_every_row_of_every_feature(
    trained: TrainingRequest, report: TrainingReport, tmp_path: Path
):
    baseline = json.loads((serving(trained, report, tmp_path) / "baseline.json").read_text())
    assert baseline["rows"] == report.parts["train"].rows + report.parts["validation"].rows
    assert sorted(baseline["features"]) == sorted(report.features)
    for histogram in baseline["features"].values():
        total = sum(histogram["counts"]) + histogram["missing"] + histogram.get("other", 0)
        assert total == baseline["rows"]
    assert baseline["features"]["recent_departure_delay"]["missing"] > 0
    assert sum(baseline["prediction"]["counts"]) == report.parts["holdout"].rows


def test_a_pinned_version_is_read_though_the_table_has_changed_since(
    trained: TrainingRequest, report: TrainingReport, tmp_path: Path
):
    rows = features().drop(columns="departure_delay")
    table = write(rows, tmp_path / "table")
    write(rows.loc[rows["origin"] == "EWR"], tmp_path / "table")
    pinned = replace(trained.features, uri=table)
    assert train(replace(trained, features=pinned), Silent).parts == report.parts
    newer = train(replace(trained, features=replace(pinned, version=1)), Silent)
    assert newer.parts["train"].rows < report.parts["train"].rows


def test_a_scikit_learn_estimator_trains_and_exports_too(request_: TrainingRequest):
    forest = replace(
        request_,
        estimator="sklearn.ensemble.HistGradientBoostingClassifier",
        parameters={"max_iter": 20},
        search_space={},
        metric=Metric("log_loss", "minimize"),
    )
    assert train(forest, Silent).parity < 1e-5


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"estimator": "lightgbm.Nothing"}, SpecError, "lightgbm.Nothing"),
        ({"estimator": "sklearn.svm.LinearSVC"}, SpecError, "predict_proba"),
        ({"parameters": {"trees": 3}}, SpecError, "trees"),
        ({"slices": ["airline"]}, SpecError, "airline"),
        ({"metric": Metric("roc_auc", "minimize")}, SpecError, "maximize"),
        ({"metric": Metric("f1", "maximize")}, SpecError, "f1"),
        ({"window": Days("2013-01-20", "2013-02-02")}, LakeError, "train part"),
        ({"window": Days("2014-01-01", "2014-02-02")}, LakeError, "no labelled row"),
    ],
)
def test_a_request_that_does_not_fit_is_refused_by_name(
    request_: TrainingRequest, change: dict, error: type[Exception], message: str
):
    with pytest.raises(error, match=message):
        train(replace(request_, **change), Silent)
    assert not MlflowClient(request_.tracking.uri).search_model_versions(f"name='{request_.tracking.model}'")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"delayed": 2}, "label 'delayed'"),
        ({"extra": pd.Timestamp("2013-01-01")}, "feature 'extra'"),
    ],
)
def test_a_table_that_does_not_fit_is_refused_by_name(
    request_: TrainingRequest, tmp_path: Path, change: dict, message: str
):
    table = write(features().assign(**change), tmp_path / "table")
    with pytest.raises(LakeError, match=message):
        train(replace(request_, features=replace(request_.features, uri=table)), Silent)


def test_a_version_that_is_not_there_is_refused(request_: TrainingRequest, tables: Tables):
    with pytest.raises(LakeError, match="version 99"):
        train(replace(request_, features=replace(request_.features, version=99)), Silent)
