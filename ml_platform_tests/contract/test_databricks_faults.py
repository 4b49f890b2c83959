"""What passes at Databricks is survived with one submission; what stays is one error that says what to do."""

import pytest
from databricks.sdk import WorkspaceClient

from ml_platform.errors import JobError, SettingsError
from ml_platform.gateways.jobs.databricks.client import steadily
from ml_platform.gateways.jobs.databricks.volume import VolumeFiles
from ml_platform_tests.contract.place import Place
from ml_platform_tests.emulators.databricks.started import Databricks, databricks
from ml_platform_tests.emulators.faults import PASSING
from ml_platform_tests.emulators.process import Cloud

pytestmark = pytest.mark.cloud

CALLS = {
    "discovery": "oidc/.well-known/oauth-authorization-server$",
    "token": "oidc/v1/token$",
    "submit": "runs/submit$",
    "look": "runs/get$",
    "output": "runs/get-output$",
    "files": "fs/files",
    "directories": "fs/directories",
}


WITHOUT_TOKEN = CALLS["discovery"], CALLS["token"]


@pytest.mark.parametrize("kind", PASSING)
def test_a_fault_of_every_call_is_survived_and_submits_nothing_twice(workspace: Databricks, kind: str):
    before = len(workspace.runs())
    for path in CALLS.values():
        if kind != "expired" or path not in WITHOUT_TOKEN:
            workspace.emulator.fault(kind, path=path, seconds=1)
    assert Place(workspace.jobs()).run("reports") == {"asked": "2013-01-01"}
    assert workspace.emulator.faults_left() == []
    assert len(workspace.runs()) == before + 1


@pytest.mark.parametrize("kind", PASSING)
def test_a_file_is_whole_though_its_upload_failed_at_first(workspace: Databricks, kind: str):
    files, path = VolumeFiles(WorkspaceClient(host=workspace.emulator.address)), f"{workspace.volume}/{kind}.txt"
    workspace.emulator.fault(kind, "PUT", "fs/files", seconds=1)
    files.write(path, b"all of it")
    assert workspace.emulator.faults_left() == []
    assert files.read(path) == b"all of it"


def test_cancelling_survives_faults(workspace: Databricks):
    Place(workspace.jobs()).run("reports")
    run_id = workspace.runs()[-1]["run_id"]
    for kind in ("error", "drop"):
        workspace.emulator.fault(kind, path="runs/cancel$")
    steadily(WorkspaceClient(host=workspace.emulator.address).jobs.cancel_run, run_id)
    assert workspace.emulator.faults_left() == []


def test_tokens_that_expire_meanwhile_are_replaced(tmp_path, monkeypatch: pytest.MonkeyPatch):
    # The SDK asks for a new token 40 seconds before the end of one: this one lasts for two seconds.
    with databricks(Cloud(tmp_path, token_seconds=42)) as workspace:
        for name, value in workspace.environment().items():
            monkeypatch.setenv(name, value)
        assert Place(workspace.jobs()).run("reports") == {"asked": "2013-01-01"}
        calls = [call["path"] for call in workspace.emulator.record()["calls"]]
    assert calls.count("/oidc/v1/token") > 1


def test_who_may_not_is_told_at_once_what_he_needs(workspace: Databricks):
    place = Place(workspace.jobs())
    workspace.emulator.fault("forbidden", path="runs/submit$")
    with pytest.raises(JobError, match=f"{workspace.emulator.address} refused: .*no authorization.*principal may use"):
        place.run("reports")


def test_a_wrong_secret_is_told_at_once_and_not_shown(workspace: Databricks, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("DATABRICKS_CLIENT_SECRET", "canary-of-a-secret")
    place = Place(workspace.jobs())
    with pytest.raises(JobError, match="invalid_client: Client authentication failed") as told:
        place.run("reports")
    assert "canary" not in f"{told.value!r} {told.value.__cause__!r} {place.log()}"


def test_no_credentials_at_all_are_told_with_the_variables_to_set(
    workspace: Databricks, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.delenv("DATABRICKS_CLIENT_SECRET")
    monkeypatch.setenv("DATABRICKS_CONFIG_FILE", "/nowhere")
    with pytest.raises(SettingsError, match="Set DATABRICKS_CLIENT_ID and DATABRICKS_CLIENT_SECRET"):
        Place(workspace.jobs()).run("reports")


def test_a_volume_that_is_not_there_is_named(workspace: Databricks):
    jobs = type(workspace.jobs())(workspace.emulator.address, "/Volumes/other/ml_platform/files")
    with pytest.raises(
        JobError, match=r"Volume 'other.ml_platform.files' does not exist(.|\n)*read and write /Volumes/other"
    ):
        Place(jobs).run("reports")
