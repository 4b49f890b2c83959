"""Training again, in processes of their own: the same bits, and one version however often it was killed."""

import os
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from mlflow import MlflowClient

from ml_platform.training.contract import SERVING_PATH, Tracking, TrainingRequest
from ml_platform_tests.jobs.killed import report_of, run_program

DEADLINE = 180
MODULE = "ml_platform.training.train"


def test_two_processes_make_the_same_model_bit_for_bit(
    request_: TrainingRequest, store: Callable[[], Tracking], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    directories = []
    for name, tracking, seed in (("one", request_.tracking, "1"), ("two", store(), "4")):
        # Sets of strings are ordered otherwise under these two seeds; no file may depend on that.
        monkeypatch.setenv("PYTHONHASHSEED", seed)
        request = replace(request_, tracking=tracking, threads=2)
        assert run_program(MODULE, request, tmp_path / name).wait(DEADLINE) == 0
        report = report_of(tmp_path / name)
        client = MlflowClient(tracking.uri)
        directories.append(Path(client.download_artifacts(report["run_id"], SERVING_PATH, str(tmp_path / name))))
    first, second = directories
    files = {"model.onnx", "signature.json", "baseline.json", "reference.json"}
    assert {path.name for path in first.iterdir()} == files
    for path in first.iterdir():
        assert path.read_bytes() == (second / path.name).read_bytes(), path.name


@pytest.mark.loop
def test_a_training_killed_at_any_moment_leaves_one_version_after_the_next_run(
    request_: TrainingRequest, tmp_path: Path
):
    client, model = MlflowClient(request_.tracking.uri), request_.tracking.model
    for moment in ("read ", "trial 1", "exported"):
        process = run_program(MODULE, request_, tmp_path / moment)
        kill_when(process, lambda moment=moment: moment in (tmp_path / moment / "messages.jsonl").read_text())
        assert not versions(client, model)
    lost = {run.info.run_id for run in runs(client, model) if run.info.status == "RUNNING"}
    process = run_program(MODULE, request_, tmp_path / "registered")
    kill_when(process, lambda: bool(versions(client, model)))

    assert run_program(MODULE, request_, tmp_path / "last").wait(DEADLINE) == 0
    report = report_of(tmp_path / "last")
    assert report["reused"] and report["card"] and report["plots"]
    assert [str(item.version) for item in versions(client, model)] == [report["version"]]
    states = {run.info.run_id: run.info.status for run in runs(client, model)}
    assert states.pop(report["run_id"]) == "FINISHED"
    assert lost and set(states.values()) == {"KILLED"}


def kill_when(process: "subprocess.Popen[bytes]", reached: Callable[[], bool]):
    deadline = time.monotonic() + DEADLINE
    while not reached():
        assert process.poll() is None and time.monotonic() < deadline
    os.killpg(process.pid, signal.SIGKILL)
    process.wait(DEADLINE)


def versions(client: MlflowClient, model: str) -> list:
    return client.search_model_versions(f"name='{model}'")


def runs(client: MlflowClient, model: str) -> list:
    experiment = client.get_experiment_by_name("training")
    assert experiment
    return client.search_runs([experiment.experiment_id], f"tags.model = '{model}'")


@pytest.fixture
def request_(request_: TrainingRequest) -> TrainingRequest:
    return replace(request_, code_revision=request_.tracking.model)
