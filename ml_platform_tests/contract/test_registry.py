"""The registry promotes what the gate let through and nothing else."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import pytest
from mlflow import MlflowClient

from ml_platform.core.gate import Decision, Evidence, Verdict
from ml_platform.errors import GateError, RegistryError
from ml_platform.gateways.registry import Registry, initialise
from ml_platform.training.mlflow_store import mlflow_client
from ml_platform_tests.loopback_cloud import Loopback

EXPERIMENT = "delays"


@dataclass(frozen=True)
class Store:
    """An MLflow to keep versions in, and how artifacts get lost there: by run and path."""

    client: MlflowClient
    lose: Callable[[str, str], None]


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("template")
    initialise(f"sqlite:///{root}/mlflow.db", "training", root)
    return root / "mlflow.db"


@pytest.fixture
def sqlite(template: Path, tmp_path: Path) -> Store:
    (tmp_path / "mlflow.db").write_bytes(template.read_bytes())
    client = mlflow_client(f"sqlite:///{tmp_path}/mlflow.db")
    client.create_experiment(EXPERIMENT, artifact_location=(tmp_path / "artifacts").as_uri())
    return Store(client, lambda run, path: remove(tmp_path / "artifacts" / run / "artifacts" / path))


@pytest.fixture
def azureml(cloud: Loopback) -> Store:
    client = mlflow_client(cloud.tracking_uri)
    if client.get_experiment_by_name(EXPERIMENT) is None:
        client.create_experiment(EXPERIMENT)
    return Store(client, lambda run, path: remove(cloud.artifacts(run) / path))


@pytest.fixture(params=["sqlite", "azureml"])
def store(request: pytest.FixtureRequest) -> Store:
    return request.getfixturevalue(request.param)


@pytest.fixture
def client(store: Store) -> MlflowClient:
    return store.client


@pytest.fixture
def registry(client: MlflowClient, tmp_path: Path) -> Registry:
    return Registry(client, tmp_path / "cache")


@pytest.fixture
def model() -> str:
    """A workspace keeps the name of a model for ever."""
    return f"delays_{uuid4().hex[:8]}"


@pytest.fixture
def register(client: MlflowClient, model: str, tmp_path: Path) -> Callable[[], str]:
    client.create_registered_model(model)
    saved = tmp_path / "saved"
    (saved / "data" / "serving").mkdir(parents=True)
    (saved / "data" / "serving" / "signature.json").write_text("{}")
    (saved / "MLmodel").write_text("flavors: {python_function: {loader_module: ml_platform.scoring.pyfunc}}")

    def once() -> str:
        experiment = client.get_experiment_by_name(EXPERIMENT)
        assert experiment
        run = client.create_run(experiment.experiment_id)
        client.log_metric(run.info.run_id, "roc_auc", 0.75)
        client.log_artifacts(run.info.run_id, str(saved), "model")
        client.log_dict(run.info.run_id, {"estimator": "a.B", "parameters": {"leaves": 31}}, "report/report.json")
        source = f"{run.info.artifact_uri}/model"
        return str(client.create_model_version(model, source, run.info.run_id, tags={"fingerprint": "f"}).version)

    return once


def remove(path: Path) -> None:
    shutil.rmtree(path) if path.is_dir() else path.unlink()


def decision(version: str, champion: str | None, verdict: Verdict = "promote") -> Decision:
    evidence = Evidence(version, ["2013-03-18"], 1000, 200, {"roc_auc": 0.75}, champion_version=champion)
    return Decision(verdict == "promote", verdict, ("because",), evidence)


def test_nothing_is_registered_at_first(registry: Registry, model: str):
    assert registry.latest(model) is None and registry.champion(model) is None
    with pytest.raises(RegistryError, match="version 1"):
        registry.get(model, "1")


def test_a_version_carries_tags_metrics_and_the_way_to_its_run(
    registry: Registry, model: str, register: Callable[[], str]
):
    register()
    version = register()
    found = registry.latest(model)
    assert found == registry.get(model, version) and found and found.version == "2"
    assert found.tags == {"fingerprint": "f"} and found.metrics == {"roc_auc": 0.75}
    assert found.run_path == f"/#/experiments/{found.experiment_id}/runs/{found.run_id}"
    assert registry.champion(model) is None


def test_a_version_tells_with_what_it_was_trained(
    registry: Registry, model: str, register: Callable[[], str], store: Store
):
    version = register()
    assert registry.recipe(model, version) == ("a.B", {"leaves": 31})
    store.lose(registry.get(model, version).run_id, "report/report.json")
    with pytest.raises(RegistryError, match=f"version {version} has no report/report.json"):
        registry.recipe(model, version)


def test_a_version_that_passed_becomes_champion_and_again_changes_nothing(
    registry: Registry, model: str, register: Callable[[], str], client: MlflowClient
):
    first, second = register(), register()
    registry.record_gate(model, first, decision(first, None))
    assert registry.promote(model, first).tags["previous_champion"] == "none"
    registry.record_gate(model, second, decision(second, first))
    promoted = registry.promote(model, second)
    assert promoted.tags["previous_champion"] == first and promoted.tags["promoted_at"]
    assert registry.promote(model, second) == promoted == registry.champion(model)
    text = Path(client.download_artifacts(promoted.run_id, promoted.tags["gate_evidence"])).read_text()
    assert json.loads(text)["evidence"]["champion_version"] == first


@pytest.mark.parametrize("verdict", ["refuse", "ask", None])
def test_a_version_that_did_not_pass_is_not_promoted(
    registry: Registry, model: str, register: Callable[[], str], verdict: Verdict | None
):
    version = register()
    if verdict:
        registry.record_gate(model, version, decision(version, None, verdict))
    with pytest.raises(GateError, match=verdict or "not run"):
        registry.promote(model, version)
    assert registry.champion(model) is None


def test_a_verdict_against_an_older_champion_does_not_count(
    registry: Registry, model: str, register: Callable[[], str]
):
    versions = [register() for _ in range(3)]
    for version in versions[:2]:
        registry.record_gate(model, version, decision(version, None))
    registry.promote(model, versions[0])
    with pytest.raises(GateError, match="run the gate again"):
        registry.promote(model, versions[1])


def test_a_person_may_approve_what_the_gate_asked_about_and_only_that(
    registry: Registry, model: str, register: Callable[[], str]
):
    asked, refused = register(), register()
    registry.record_gate(model, asked, decision(asked, None, "ask"))
    registry.record_gate(model, refused, decision(refused, None, "refuse"))
    with pytest.raises(GateError, match="nothing to approve"):
        registry.approve(model, refused, "ana@example.com")
    registry.approve(model, asked, "ana@example.com")
    assert registry.promote(model, asked).tags["gate_approved_by"] == "ana@example.com"


def test_the_gate_may_judge_a_version_again_and_what_it_said_before_is_kept(
    registry: Registry, model: str, register: Callable[[], str], client: MlflowClient
):
    version = register()
    registry.record_gate(model, version, decision(version, None, "refuse"))
    before = registry.get(model, version).tags["gate_evidence"]
    registry.record_gate(model, version, decision(version, None))
    found = registry.get(model, version)
    told = [client.download_artifacts(found.run_id, path) for path in (before, found.tags["gate_evidence"])]
    assert [json.loads(Path(path).read_text())["verdict"] for path in told] == ["refuse", "promote"]


def test_a_champion_that_is_rolled_back_gives_its_place_to_the_one_before(
    registry: Registry, model: str, register: Callable[[], str]
):
    first, second = register(), register()
    for version, before in ((first, None), (second, first)):
        registry.record_gate(model, version, decision(version, before))
        registry.promote(model, version)
    for _ in range(2):
        registry.roll_back(model, second, first, "slower")
        champion = registry.champion(model)
        assert champion and champion.version == first
    with pytest.raises(GateError, match="rolled back: slower"):
        registry.promote(model, second)


def test_evidence_about_another_version_is_refused(registry: Registry, model: str, register: Callable[[], str]):
    version = register()
    with pytest.raises(GateError, match="not 1"):
        registry.record_gate(model, version, decision("7", None))


def test_a_serving_directory_is_downloaded_once(
    registry: Registry, model: str, register: Callable[[], str], client: MlflowClient
):
    version = register()
    directory = registry.serving_directory(model, version)
    assert [path.name for path in directory.iterdir()] == ["signature.json"]
    client.delete_run(registry.get(model, version).run_id)
    (directory / "signature.json").write_text("kept")
    assert (registry.serving_directory(model, version) / "signature.json").read_text() == "kept"
    assert [path.name for path in directory.parent.iterdir()] == [version]


def test_a_version_without_a_model_has_no_serving_directory(
    registry: Registry, model: str, register: Callable[[], str], store: Store, tmp_path: Path
):
    version = register()
    store.lose(registry.get(model, version).run_id, "model")
    with pytest.raises(RegistryError, match="no model/data/serving"):
        registry.serving_directory(model, version)
    assert not list((tmp_path / "cache" / model).iterdir())


def test_two_processes_may_initialise_one_fresh_store_at_once(tmp_path: Path):
    program = (
        "from pathlib import Path; from ml_platform.gateways.registry import initialise; "
        f"initialise('sqlite:///{tmp_path}/mlflow.db', 'training', Path({str(tmp_path)!r}))"
    )
    processes = [subprocess.Popen([sys.executable, "-c", program]) for _ in range(2)]
    assert [process.wait(180) for process in processes] == [0, 0]
    assert MlflowClient(f"sqlite:///{tmp_path}/mlflow.db").get_experiment_by_name("training")


def test_an_experiment_whose_making_was_answered_to_nobody_is_found(cloud: Loopback, tmp_path: Path):
    name = f"training-{uuid4().hex[:8]}"
    cloud.arm.fault("drop_answer", "POST", "/mlflow/experiments/create$")
    initialise(cloud.tracking_uri, name, tmp_path)
    assert cloud.arm.faults_left() == []
    assert mlflow_client(cloud.tracking_uri).get_experiment_by_name(name)
