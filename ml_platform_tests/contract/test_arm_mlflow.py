"""MLflow on the emulated workspace, through the real azureml-mlflow; its registry and ARM's models are one store."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ml_platform_tests.contract.golden import assert_calls
from ml_platform_tests.emulators.process import Emulator

if TYPE_CHECKING:
    from azure.ai.ml import MLClient
    from mlflow import MlflowClient


@pytest.fixture
def mlflow_client(client: "MLClient") -> Iterator["MlflowClient"]:
    """The client of the workspace; azureml-mlflow finds artifacts by the process's own tracking URI alone."""
    import mlflow

    before = mlflow.get_tracking_uri()
    workspace = client.workspaces.get()
    assert workspace is not None and workspace.mlflow_tracking_uri
    mlflow.set_tracking_uri(workspace.mlflow_tracking_uri)
    yield mlflow.MlflowClient()
    mlflow.set_tracking_uri(before)


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    """What `save_model` leaves, as small as the service takes it."""
    folder = tmp_path / "model"
    (folder / "data").mkdir(parents=True)
    (folder / "MLmodel").write_text("flavors:\n  python_function:\n    loader_module: ml_platform.scoring.pyfunc\n")
    (folder / "data" / "weights.bin").write_bytes(bytes(range(256)) * 300)
    return folder


def test_a_run_is_logged_registered_and_found_by_both_clients(
    arm: Emulator, client: "MLClient", mlflow_client: "MlflowClient", saved: Path, request: pytest.FixtureRequest
) -> None:
    from mlflow.entities import Metric, Param

    arm.clear()
    experiment = mlflow_client.create_experiment("flights")
    run = mlflow_client.create_run(experiment, tags={"fingerprint": "abc"}).info
    mlflow_client.log_batch(run.run_id, metrics=[Metric("roc_auc", 0.79, 1, 0)], params=[Param("trials", "10")])
    mlflow_client.log_artifacts(run.run_id, str(saved), "model")
    mlflow_client.create_registered_model("flights")
    made = mlflow_client.create_model_version(
        "flights", f"{run.artifact_uri}/model", run.run_id, tags={"fingerprint": "abc"}
    )
    mlflow_client.set_model_version_tag("flights", made.version, "gate", "promote")
    mlflow_client.set_terminated(run.run_id)
    assert_calls(arm, "log_and_register", request)

    [found] = mlflow_client.search_model_versions("name='flights'")
    assert (found.version, found.run_id, found.tags) == ("1", run.run_id, {"fingerprint": "abc", "gate": "promote"})
    [searched] = mlflow_client.search_runs([experiment], "tags.fingerprint = 'abc' and metrics.roc_auc > 0.7")
    assert (searched.info.status, searched.data.params) == ("FINISHED", {"trials": "10"})
    version = client.models.get("flights", "1")
    assert version.tags == found.tags
    assert (version.type, version.job_name, list(version.flavors or {})) == (
        "mlflow_model",
        run.run_id,
        ["python_function"],
    )
    assert str(version.path).endswith(f"/datastores/workspaceartifactstore/paths/ExperimentRun/dcid.{run.run_id}/model")


def test_artifacts_come_back_byte_for_byte(mlflow_client: "MlflowClient", saved: Path, tmp_path: Path) -> None:
    from mlflow.artifacts import download_artifacts

    run = mlflow_client.create_run(mlflow_client.create_experiment("artifacts")).info
    mlflow_client.log_artifacts(run.run_id, str(saved), "model")
    assert [each.path for each in mlflow_client.list_artifacts(run.run_id)] == ["model"]
    (tmp_path / "back").mkdir()
    back = Path(mlflow_client.download_artifacts(run.run_id, "model", str(tmp_path / "back")))
    for file in ("MLmodel", "data/weights.bin"):
        assert (back / file).read_bytes() == (saved / file).read_bytes()
    mlflow_client.create_registered_model("back")
    mlflow_client.create_model_version("back", f"{run.artifact_uri}/model", run.run_id)
    model = Path(download_artifacts("models:/back/1", dst_path=str(tmp_path)))
    assert (model / "data/weights.bin").read_bytes() == (saved / "data/weights.bin").read_bytes()


def test_what_arm_registers_mlflow_knows(client: "MLClient", mlflow_client: "MlflowClient") -> None:
    from azure.ai.ml.entities import Model

    path = "azureml://datastores/lake/paths/models/9"
    client.models.create_or_update(Model(name="by-arm", version="9", path=path, tags={"a": "b"}))
    [found] = mlflow_client.search_model_versions("name='by-arm'")
    assert (found.version, found.tags) == ("9", {"a": "b"})
    assert [each.name for each in mlflow_client.search_registered_models("name='by-arm'")] == ["by-arm"]
    mlflow_client.delete_model_version("by-arm", "9")
    assert list(client.models.list("by-arm")) == []


def test_an_artifact_is_written_once(mlflow_client: "MlflowClient") -> None:
    run = mlflow_client.create_run(mlflow_client.create_experiment("once")).info
    mlflow_client.log_text(run.run_id, "first", "gate/version-1.json")
    with pytest.raises(Exception, match="Resource Conflict: ArtifactId .*gate/version-1.json already exists"):
        mlflow_client.log_text(run.run_id, "second", "gate/version-1.json")


def test_the_service_has_neither_logged_models_nor_aliases(mlflow_client: "MlflowClient") -> None:
    from mlflow.exceptions import MlflowException

    mlflow_client.create_registered_model("no-alias")
    with pytest.raises(MlflowException, match="404"):
        mlflow_client.set_registered_model_alias("no-alias", "champion", "1")
    with pytest.raises(MlflowException, match="404"):
        mlflow_client.get_model_version_by_alias("no-alias", "champion")
    experiment = mlflow_client.create_experiment("no-logged-models")
    with pytest.raises(MlflowException, match="404"):
        mlflow_client.search_logged_models([experiment])


def test_a_model_without_an_mlmodel_is_not_registered(mlflow_client: "MlflowClient") -> None:
    from mlflow.exceptions import MlflowException

    run = mlflow_client.create_run(mlflow_client.create_experiment("formless")).info
    mlflow_client.log_text(run.run_id, "weights", "model/weights.bin")
    mlflow_client.create_registered_model("formless")
    with pytest.raises(MlflowException, match="holds no MLmodel"):
        mlflow_client.create_model_version("formless", f"{run.artifact_uri}/model", run.run_id)
    assert mlflow_client.search_model_versions("name='formless'") == []
