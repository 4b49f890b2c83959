"""A run that a person terminates in the UI ends its remote run too, and nothing is recorded as materialised."""

from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest
import yaml

from ml_platform.gateways.jobs.azureml_job import state_of
from ml_platform.gateways.workspace import workspace_client
from ml_platform.settings import PROJECT_ROOT
from ml_platform_tests.azure.deployment import Deployment, deployment, entered
from ml_platform_tests.azure.web_server import WebServer, web_server
from ml_platform_tests.live.deployment import eventually
from ml_platform_tests.loopback_cloud import SCORING, TRAINING, WORKSPACE, make_environments


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    with deployment(tmp_path_factory.mktemp("cancelled") / "cloud") as started, entered(started):
        make_environments(TRAINING, SCORING)
        instance = yaml.safe_load((PROJECT_ROOT / "deployments" / "azure" / "dagster.yaml").read_text())
        # Launched at once: there is no daemon.
        instance["run_coordinator"] = {"module": "dagster._core.run_coordinator", "class": "DefaultRunCoordinator"}
        (started.home / "dagster").mkdir()
        (started.home / "dagster" / "dagster.yaml").write_text(yaml.safe_dump(instance))
        yield started


@pytest.fixture(scope="module")
def ui(cloud: Deployment) -> Iterator[WebServer]:
    with web_server(cloud, "ml_platform_tests.azure.lasting_location") as server:
        yield server


@pytest.mark.parametrize("place", ["spark", "others"])
def test_a_run_that_is_terminated_in_the_ui_is_cancelled_in_azure_too(cloud: Deployment, ui: WebServer, place: str):
    run = ui.launch(place)
    word = Path(cloud.home, f"{place}.word")
    eventually(lambda: word.exists() and word.read_text(), "the program works")
    ui.terminate(run)
    eventually(lambda: ui.status(run) == "CANCELED", "the run is cancelled")
    assert {"spark": _databricks_runs, "others": _azureml_jobs}[place](cloud) == ["CANCELED"]
    with dg.DagsterInstance.get() as instance:
        assert instance.get_latest_materialization_event(dg.AssetKey(place)) is None


def _databricks_runs(cloud: Deployment) -> list[str]:
    return [run["state"]["result_state"] for run in cloud.spark.runs()]


def _azureml_jobs(cloud: Deployment) -> list[str]:
    calls = cloud.arm.record()["calls"]
    submitted = [c for c in calls if c["method"] == "PUT" and c["template"].endswith("/jobs/{name}")]
    names = {call["path"].rpartition("/")[2] for call in submitted}
    jobs = workspace_client(WORKSPACE).jobs
    return [state_of(jobs.get(name)).upper() for name in sorted(names)]
