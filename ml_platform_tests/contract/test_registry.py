"""The registry promotes what the gate let through and nothing else."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from mlflow import MlflowClient

from ml_platform.core.gate import Decision, Evidence, Verdict
from ml_platform.errors import GateError, RegistryError
from ml_platform.gateways.registry import Registry, initialise

MODEL = "delays"


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("template")
    initialise(f"sqlite:///{root}/mlflow.db", "training", root)
    return root / "mlflow.db"


@pytest.fixture
def client(template: Path, tmp_path: Path) -> MlflowClient:
    (tmp_path / "mlflow.db").write_bytes(template.read_bytes())
    client = MlflowClient(f"sqlite:///{tmp_path}/mlflow.db")
    client.create_experiment("delays", artifact_location=(tmp_path / "artifacts").as_uri())
    return client


@pytest.fixture
def registry(client: MlflowClient, tmp_path: Path) -> Registry:
    return Registry(client, tmp_path / "cache")


@pytest.fixture
def register(client: MlflowClient, tmp_path: Path) -> Callable[[], str]:
    client.create_registered_model(MODEL)
    serving = tmp_path / "serving"
    serving.mkdir()
    (serving / "signature.json").write_text("{}")

    def once() -> str:
        experiment = client.get_experiment_by_name("delays")
        assert experiment
        run = client.create_run(experiment.experiment_id)
        client.log_metric(run.info.run_id, "roc_auc", 0.75)
        client.log_artifacts(run.info.run_id, str(serving), "model/data/serving")
        client.log_dict(run.info.run_id, {"estimator": "a.B", "parameters": {"leaves": 31}}, "report/report.json")
        source = f"{run.info.artifact_uri}/model"
        return str(client.create_model_version(MODEL, source, run.info.run_id, tags={"fingerprint": "f"}).version)

    return once


def decision(version: str, champion: str | None, verdict: Verdict = "promote") -> Decision:
    evidence = Evidence(version, ["2013-03-18"], 1000, 200, {"roc_auc": 0.75}, champion_version=champion)
    return Decision(verdict == "promote", verdict, ("because",), evidence)


def test_nothing_is_registered_at_first(registry: Registry):
    assert registry.latest(MODEL) is None and registry.champion(MODEL) is None
    with pytest.raises(RegistryError, match="version 1"):
        registry.get(MODEL, "1")


def test_a_version_carries_tags_metrics_and_the_way_to_its_run(registry: Registry, register: Callable[[], str]):
    register()
    version = register()
    found = registry.latest(MODEL)
    assert found == registry.get(MODEL, version) and found and found.version == "2"
    assert found.tags == {"fingerprint": "f"} and found.metrics == {"roc_auc": 0.75}
    assert found.run_path == f"/#/experiments/{found.experiment_id}/runs/{found.run_id}"
    assert registry.champion(MODEL) is None


def test_a_version_tells_with_what_it_was_trained(
    registry: Registry, register: Callable[[], str], client: MlflowClient, tmp_path: Path
):
    version = register()
    assert registry.recipe(MODEL, version) == ("a.B", {"leaves": 31})
    (tmp_path / "artifacts" / registry.get(MODEL, version).run_id / "artifacts" / "report" / "report.json").unlink()
    with pytest.raises(RegistryError, match=f"version {version} has no report/report.json"):
        registry.recipe(MODEL, version)


def test_a_version_that_passed_becomes_champion_and_again_changes_nothing(
    registry: Registry, register: Callable[[], str], client: MlflowClient
):
    first, second = register(), register()
    registry.record_gate(MODEL, first, decision(first, None))
    assert registry.promote(MODEL, first).tags["previous_champion"] == "none"
    registry.record_gate(MODEL, second, decision(second, first))
    promoted = registry.promote(MODEL, second)
    assert promoted.tags["previous_champion"] == first and promoted.tags["promoted_at"]
    assert registry.promote(MODEL, second) == promoted == registry.champion(MODEL)
    text = Path(client.download_artifacts(promoted.run_id, f"gate/version-{second}.json")).read_text()
    assert json.loads(text)["evidence"]["champion_version"] == first


@pytest.mark.parametrize("verdict", ["refuse", "ask", None])
def test_a_version_that_did_not_pass_is_not_promoted(
    registry: Registry, register: Callable[[], str], verdict: Verdict | None
):
    version = register()
    if verdict:
        registry.record_gate(MODEL, version, decision(version, None, verdict))
    with pytest.raises(GateError, match=verdict or "not run"):
        registry.promote(MODEL, version)
    assert registry.champion(MODEL) is None


def test_a_verdict_against_an_older_champion_does_not_count(registry: Registry, register: Callable[[], str]):
    versions = [register() for _ in range(3)]
    for version in versions[:2]:
        registry.record_gate(MODEL, version, decision(version, None))
    registry.promote(MODEL, versions[0])
    with pytest.raises(GateError, match="run the gate again"):
        registry.promote(MODEL, versions[1])


def test_a_person_may_approve_what_the_gate_asked_about_and_only_that(registry: Registry, register: Callable[[], str]):
    asked, refused = register(), register()
    registry.record_gate(MODEL, asked, decision(asked, None, "ask"))
    registry.record_gate(MODEL, refused, decision(refused, None, "refuse"))
    with pytest.raises(GateError, match="nothing to approve"):
        registry.approve(MODEL, refused, "ana@example.com")
    registry.approve(MODEL, asked, "ana@example.com")
    assert registry.promote(MODEL, asked).tags["gate_approved_by"] == "ana@example.com"


def test_evidence_about_another_version_is_refused(registry: Registry, register: Callable[[], str]):
    version = register()
    with pytest.raises(GateError, match="not 1"):
        registry.record_gate(MODEL, version, decision("7", None))


def test_a_serving_directory_is_downloaded_once(registry: Registry, register: Callable[[], str], client: MlflowClient):
    version = register()
    directory = registry.serving_directory(MODEL, version)
    assert [path.name for path in directory.iterdir()] == ["signature.json"]
    client.delete_run(registry.get(MODEL, version).run_id)
    (directory / "signature.json").write_text("kept")
    assert (registry.serving_directory(MODEL, version) / "signature.json").read_text() == "kept"
    assert [path.name for path in directory.parent.iterdir()] == [version]


def test_a_version_without_a_model_has_no_serving_directory(
    registry: Registry, register: Callable[[], str], client: MlflowClient, tmp_path: Path
):
    version = register()
    (tmp_path / "artifacts").rename(tmp_path / "gone")
    with pytest.raises(RegistryError, match="no model/data/serving"):
        registry.serving_directory(MODEL, version)
    assert not list((tmp_path / "cache" / MODEL).iterdir())


def test_two_processes_may_initialise_one_fresh_store_at_once(tmp_path: Path):
    program = (
        "from pathlib import Path; from ml_platform.gateways.registry import initialise; "
        f"initialise('sqlite:///{tmp_path}/mlflow.db', 'training', Path({str(tmp_path)!r}))"
    )
    processes = [subprocess.Popen([sys.executable, "-c", program]) for _ in range(2)]
    assert [process.wait(180) for process in processes] == [0, 0]
    assert MlflowClient(f"sqlite:///{tmp_path}/mlflow.db").get_experiment_by_name("training")
