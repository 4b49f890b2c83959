"""A program on Azure ML is submitted once, however often its step dies; it ends in time, and when it is cancelled."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from azure.ai.ml.entities import Job
from dagster._core.storage.tags import RETRY_ON_ASSET_OR_OP_FAILURE_TAG

from ml_platform.errors import JobError
from ml_platform.gateways.jobs.azureml_job import state_of
from ml_platform.gateways.workspace import workspace_client
from ml_platform_tests.contract.azureml_line import place_in
from ml_platform_tests.contract.killed_line import KilledLine, interrupted, said
from ml_platform_tests.contract.place import Place, until
from ml_platform_tests.loopback_cloud import WORKSPACE, Loopback

pytestmark = pytest.mark.cloud

JOBS = "/jobs/[^/]+$"
SECONDS = 240
"""For what includes the start of the MLflow server and of programs, on a busy machine."""


class Line(KilledLine):
    """Runs `azureml_line`."""

    def __init__(self, cloud: Loopback, folder: Path, way: str) -> None:
        super().__init__(folder, way, "azureml_line", cloud.lake, cloud.tracking_uri, seconds=SECONDS)
        self._cloud, self._before = cloud, names(cloud)

    def submitted(self) -> list[str]:
        """The jobs that it has submitted."""
        return sorted(names(self._cloud) - self._before)


def names(cloud: Loopback) -> set[str]:
    """The jobs that were ever submitted."""
    return set(cloud.submitted())


def job(name: str) -> Job:
    return workspace_client(WORKSPACE).jobs.get(name)


@pytest.fixture
def place(cloud: Loopback) -> Place:
    return place_in(cloud)


@pytest.fixture
def line(cloud: Loopback, tmp_path: Path) -> Iterator[Line]:
    made = Line(cloud, tmp_path, "works_until_told")
    yield made
    made.tell()


def test_a_job_whose_step_was_killed_is_found_again_while_it_works(line: Line):
    again, program = line.killed(), line.word.read_text()
    line.tell()
    assert line.run(again) == (True, {"process": int(program)})
    assert len(line.submitted()) == 1


def test_a_job_whose_step_was_killed_is_found_again_once_it_has_ended(line: Line):
    again, program = line.killed(), line.word.read_text()
    line.tell()
    until(lambda: state_of(job(line.submitted()[0])) == "Completed", SECONDS)
    assert line.run(again) == (True, {"process": int(program)})
    assert len(line.submitted()) == 1


def test_a_job_that_failed_is_submitted_under_another_name_by_the_next_attempt(cloud: Loopback, tmp_path: Path):
    line = Line(cloud, tmp_path, "refuses")
    assert not line.run()[0]
    assert not line.run(line.last())[0]
    first, second = line.submitted()
    assert (first[-2:], second[-2:], first[:-2]) == ("-1", "-2", second[:-2])


def test_an_interrupted_job_is_canceled_and_nothing_is_materialised(cloud: Loopback, place: Place, tmp_path: Path):
    before, word = names(cloud), tmp_path / "word"
    interrupted(place, word, lambda: said(word), SECONDS)
    (name,) = names(cloud) - before
    assert state_of(job(name)) == "Canceled"
    assert not place.materialised()


def test_a_job_that_is_interrupted_while_it_is_submitted_is_canceled_too(cloud: Loopback, place: Place, tmp_path: Path):
    place.run("reports")
    before = names(cloud)
    cloud.arm.fault("latency", "PUT", JOBS, seconds=2)
    interrupted(place, tmp_path / "word", lambda: not cloud.arm.faults_left(), SECONDS)
    (name,) = names(cloud) - before
    assert state_of(job(name)) == "Canceled"


def test_a_job_that_outlives_its_time_is_canceled(cloud: Loopback, tmp_path: Path):
    before, place = names(cloud), place_in(cloud, timeout_minutes=0.1)
    with pytest.raises(JobError, match="still Running 0.1 minutes.*ML_PLATFORM_AZUREML_TIMEOUT_MINUTES"):
        place.run("works_on", tmp_path / "word")
    (name,) = names(cloud) - before
    assert state_of(job(name)) == "Canceled"


def test_a_job_that_lost_its_machine_runs_again_and_its_last_report_counts(cloud: Loopback, place: Place):
    before = names(cloud)
    cloud.preempt(seconds=0.3)
    assert place.run("reports") == {"asked": "2013-01-01"}
    assert len(names(cloud) - before) == 1
    assert any("is Queued" in line for line in place.log())


def test_a_job_that_somebody_cancels_in_azure_ml_is_no_success(cloud: Loopback, place: Place, tmp_path: Path):
    before, word = names(cloud), tmp_path / "word"

    def cancel() -> None:
        until(lambda: said(word), SECONDS)
        (name,) = names(cloud) - before
        workspace_client(WORKSPACE).jobs.begin_cancel(name, polling=False)

    thread = threading.Thread(target=cancel)
    thread.start()
    with pytest.raises(JobError, match=r"was cancelled in Azure ML, job \S+: https://ml.azure.com/runs/"):
        place.run("works_on", word)
    thread.join()


@pytest.mark.parametrize("kind", ["throttle", "error", "unavailable", "expired", "drop", "drop_answer"])
@pytest.mark.parametrize("method", ["PUT", "GET"])
def test_a_failure_that_passes_neither_fails_a_job_nor_starts_another(
    cloud: Loopback, place: Place, kind: str, method: str
):
    before = names(cloud)
    cloud.arm.fault(kind, method, JOBS, seconds=1)
    assert place.run("reports") == {"asked": "2013-01-01"}
    assert not cloud.arm.faults_left()
    assert len(names(cloud) - before) == 1


@pytest.mark.parametrize(
    ("change", "problem"),
    [({"compute": "gpu-cluster"}, "gpu-cluster"), ({"environment": "absent:7"}, "absent")],
)
def test_what_the_workspace_lacks_is_named(cloud: Loopback, change: dict[str, str], problem: str):
    with pytest.raises(JobError, match=f"cannot be run on.*{problem}"):
        place_in(cloud, **change).run("reports")
    if "compute" in change:
        cloud.arm.pardon("gpu-cluster")


def test_without_permission_it_fails_at_once_and_says_where(cloud: Loopback, place: Place):
    cloud.arm.fault("forbidden", "PUT", JOBS)
    with pytest.raises(JobError, match=f"{WORKSPACE}.*no authorization"):
        place.run("reports")
    (run,) = place.instance.get_runs()
    assert RETRY_ON_ASSET_OR_OP_FAILURE_TAG not in run.tags


def test_a_job_holds_no_secret(cloud: Loopback, place: Place):
    before = names(cloud)
    place.run("reports")
    (name,) = names(cloud) - before
    shown = str(job(name))
    assert "DAGSTER_PIPES_CONTEXT" in shown
    assert not [secret for secret in (cloud.storage.key, cloud.arm.cloud.secret) if secret in shown]


def test_the_page_of_a_job_is_in_the_log_of_its_run(place: Place):
    place.run("reports")
    assert any("Azure ML job: https://ml.azure.com/runs/" in line for line in place.log())
