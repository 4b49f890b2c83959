"""Training and comparison as jobs of Azure ML: from a table in the lake to a version in the workspace."""

from dataclasses import replace
from typing import Any

import dagster as dg
import pyarrow as pa
import pytest
from deltalake import write_deltalake
from mlflow import MlflowClient

from dbx_jobs.contract import from_dict
from ml_platform.gateways.jobs import AzureMLJobs, Program
from ml_platform.gateways.registry import Registry
from ml_platform.gateways.workspace import workspace_client
from ml_platform.training.contract import (
    CompareReport,
    CompareRequest,
    Dimension,
    Metric,
    Tracking,
    TrainingReport,
    TrainingRequest,
)
from ml_platform.training.mlflow_store import mlflow_client
from ml_platform_tests.azure.failing_once import fail_each_once
from ml_platform_tests.contract.azureml_line import jobs_in
from ml_platform_tests.emulators.entering import add
from ml_platform_tests.emulators.faults import PASSING
from ml_platform_tests.loopback_cloud import WORKSPACE, Loopback
from ml_platform_tests.training.conftest import ROLES, features, make_request

pytestmark = pytest.mark.cloud

MODEL, EXPERIMENT = "flight_delays", "flight_delays"


@pytest.fixture(scope="module")
def table(cloud_of_the_module: Loopback) -> str:
    """Five weeks of features in the lake."""
    cloud = cloud_of_the_module
    with pytest.MonkeyPatch.context() as patch:
        add(patch, cloud.storage.key_environment())
        uri = f"{cloud.lake}/features/flight_delays"
        rows = pa.Table.from_pandas(features().drop(columns="departure_delay"), preserve_index=False)
        write_deltalake(uri, rows, partition_by=["day"])
    return uri


@pytest.fixture
def request_(cloud: Loopback, table: str) -> TrainingRequest:
    return make_request(table, Tracking(cloud.tracking_uri, EXPERIMENT, MODEL))


@pytest.fixture
def client(cloud: Loopback) -> MlflowClient:
    return mlflow_client(cloud.tracking_uri)


def run(cloud: Loopback, program: Program, request: Any) -> tuple[dict[str, Any], str]:
    """What a program reported, and the name of its job."""
    jobs: AzureMLJobs = jobs_in(cloud.lake, cloud.tracking_uri)
    found: dict[str, Any] = {}

    @dg.asset
    def candidate(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
        found.update(jobs.run(context, program, request))
        return dg.MaterializeResult()

    cloud.arm.clear()
    dg.materialize([candidate], instance=dg.DagsterInstance.ephemeral())
    return found, cloud.submitted()[-1]


def test_a_model_is_trained_and_compared_in_the_workspace_and_is_not_trained_twice(
    cloud: Loopback, request_: TrainingRequest, client: MlflowClient, tmp_path: Any
):
    told, job = run(cloud, Program.TRAIN, request_)
    report = from_dict(TrainingReport, told)
    version = client.get_model_version(MODEL, report.version)
    assert version.tags["fingerprint"] == report.fingerprint and not report.reused
    trained = client.get_run(report.run_id)
    assert trained.info.status == "FINISHED"
    assert trained.data.tags["mlflow.parentRunId"] == job
    assert client.get_run(job).info.status == "FINISHED"
    assert trained.data.metrics["roc_auc"] == pytest.approx(report.metrics["roc_auc"].point)
    serving = Registry(client, tmp_path).serving_directory(MODEL, report.version)
    assert {"model.onnx", "signature.json", "baseline.json"} <= {path.name for path in serving.iterdir()}

    asked = CompareRequest(ROLES, request_.metric, request_.tracking, report.version)
    evidence = from_dict(CompareReport, run(cloud, Program.COMPARE, asked)[0]).evidence
    assert evidence.rows == report.parts["holdout"].rows
    assert evidence.challenger["roc_auc"] == pytest.approx(report.metrics["roc_auc"].point, abs=1e-6)

    again = from_dict(TrainingReport, run(cloud, Program.TRAIN, request_)[0])
    assert (again.reused, again.version) == (True, report.version)


def test_a_training_that_loses_its_machine_leaves_one_version_and_no_running_run(
    cloud: Loopback, request_: TrainingRequest, client: MlflowClient
):
    request = replace(request_, seed=7)
    cloud.preempt(seconds=8)
    report = from_dict(TrainingReport, run(cloud, Program.TRAIN, request)[0])
    found = client.search_model_versions(f"name='{MODEL}'")
    assert [item.version for item in found if item.tags["fingerprint"] == report.fingerprint] == [report.version]
    experiment = client.get_experiment_by_name(EXPERIMENT)
    assert experiment
    runs = client.search_runs([experiment.experiment_id], f"tags.fingerprint = '{report.fingerprint}'")
    assert "RUNNING" not in {item.info.status for item in runs}


@pytest.mark.parametrize("number, kind", enumerate(PASSING))
def test_a_training_of_which_each_call_failed_once_leaves_one_version(
    cloud: Loopback, request_: TrainingRequest, client: MlflowClient, number: int, kind: str
):
    fail_each_once({"arm": cloud.arm}, "training_and_roll_out", kind)
    try:
        told, _ = run(cloud, Program.TRAIN, replace(request_, seed=100 + number))
        left = [fault["path"] for fault in cloud.arm.faults_left()]
    finally:
        cloud.arm.clear_faults()
    # The list is of a roll-out too. MLflow refuses no token before its end.
    failed = ["/jobs/"] if kind == "expired" else ["/jobs/", "runs/create$", r"model\-versions/create$"]
    assert not [path for path in left for part in failed if part in path]
    report = from_dict(TrainingReport, told)
    found = client.search_model_versions(f"name='{MODEL}'")
    assert [item.version for item in found if item.tags["fingerprint"] == report.fingerprint] == [report.version]
    assert len(cloud.submitted()) == 1


def test_the_best_trial_of_a_sweep_becomes_the_candidate_and_all_are_in_mlflow_and_in_the_report(
    cloud: Loopback, request_: TrainingRequest, client: MlflowClient
):
    space = {**request_.search_space, "boosting_type": Dimension(choices=["gbdt", "dart"])}
    told, job = run(cloud, Program.TRAIN, replace(request_, search="sweep", trials=3, search_space=space))
    report = from_dict(TrainingReport, told)
    sweep, trained = cloud.submitted()
    assert trained == job != sweep
    experiment = client.get_experiment_by_name(EXPERIMENT)
    assert experiment
    runs = client.search_runs([experiment.experiment_id], f"tags.mlflow.parentRunId = '{sweep}'")
    assert {trial.run_id for trial in report.trials} == {item.info.run_id for item in runs} and len(runs) == 3
    best = max((trial for trial in report.trials if trial.value is not None), key=lambda trial: trial.value or 0)
    assert best.run_id == workspace_client(WORKSPACE).jobs.get(sweep).properties["best_child_run_id"]
    assert best.parameters.items() <= report.parameters.items()
    for trial in report.trials:
        assert 4 <= trial.parameters["num_leaves"] <= 16 and isinstance(trial.parameters["num_leaves"], int)
        assert 0.05 <= trial.parameters["learning_rate"] <= 0.2
        assert trial.parameters["boosting_type"] in ("gbdt", "dart")
    assert client.get_model_version(MODEL, report.version).tags["fingerprint"] == report.fingerprint


def test_a_poor_trial_of_a_sweep_is_stopped_before_it_has_learned_from_all_days(
    cloud: Loopback, request_: TrainingRequest, client: MlflowClient
):
    # With steps as long as the second a model leaps about: it takes its time and learns nothing. What the emulator
    # draws with this seed is one such between two others.
    space, metric = {"learning_rate": Dimension(choices=[0.05, 30.0])}, Metric("log_loss", "minimize")
    slow = request_.parameters | {"n_estimators": 600}
    request = replace(request_, search="sweep", seed=4, search_space=space, metric=metric, parameters=slow, trials=3)
    told, _ = run(cloud, Program.TRAIN, request)
    report = from_dict(TrainingReport, told)
    stopped = [trial for trial in report.trials if trial.state == "KILLED"]
    assert stopped and {trial.parameters["learning_rate"] for trial in stopped} == {30.0}
    for trial in stopped:
        assert [told.step for told in client.get_metric_history(trial.run_id, "log_loss")] == [0]
        assert trial.value is None
    assert report.parameters["learning_rate"] == 0.05
