"""What stands behind an address of the emulated workspace comes here, from its own store and from the lake."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from ml_platform_tests.emulators.arm.answers import Refused
from ml_platform_tests.emulators.arm.blob_store import ARTIFACTS, Blobs
from ml_platform_tests.emulators.arm.content import download, upload
from ml_platform_tests.emulators.arm.mlflow_server import MlflowServer
from ml_platform_tests.emulators.arm.programs import Programs
from ml_platform_tests.emulators.arm.published import Published
from ml_platform_tests.emulators.arm.state import Arm, Workspace
from ml_platform_tests.emulators.arm.workspace import found
from ml_platform_tests.emulators.azurite import PROGRAM, Azurite, azurite
from ml_platform_tests.emulators.identity import Identity
from ml_platform_tests.emulators.process import Cloud
from ml_platform_tests.emulators.recording import Record

CONTENT = {"MLmodel": b"flavors: {}", "data/weights.bin": bytes(range(256))}


@pytest.fixture
def service(tmp_path: Path) -> Arm:
    """The service's state without its process."""
    address, programs = "https://127.0.0.1:1", Programs()
    blobs, mlflow = Blobs(tmp_path / "blobs", address, "key"), MlflowServer(tmp_path / "mlflow", programs)
    identity = Identity("secret", "key")
    arm = Arm(tmp_path, address, Workspace(), identity, Record(), Published(None), programs, blobs, mlflow)
    found(arm)
    return arm


@pytest.fixture(scope="module")
def account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Azurite]:
    if not PROGRAM.exists():
        pytest.skip("Azurite is not there: make azurite")
    with azurite(Cloud(tmp_path_factory.mktemp("lake")), "devstoreaccount1") as running:
        running.lake("lake")
        yield running


def written(folder: Path) -> Path:
    for name, content in CONTENT.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


def read(folder: Path) -> dict[str, bytes]:
    return {str(each.relative_to(folder)): each.read_bytes() for each in folder.rglob("*") if each.is_file()}


def test_artifacts_of_a_run_come_from_the_workspace_s_own_store(service: Arm, tmp_path: Path) -> None:
    written(service.blobs.path(ARTIFACTS, "ExperimentRun/dcid.1/model"))
    uri = service.workspace.path("workspaceartifactstore", "ExperimentRun/dcid.1/model")
    assert read(asyncio.run(download(service, uri, tmp_path / "got"))) == CONTENT


def test_uploaded_code_comes_by_the_address_that_the_sdk_registered(service: Arm, tmp_path: Path) -> None:
    uri = f"{service.blobs.container('upload')}/code"
    written(service.blobs.path("upload", "code"))
    assert read(asyncio.run(download(service, uri, tmp_path / "got"))) == CONTENT


@pytest.mark.parametrize("by", ["key", "identity"])
def test_a_folder_goes_to_the_lake_and_comes_back(
    service: Arm, account: Azurite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, by: str
) -> None:
    monkeypatch.delenv("AZURE_STORAGE_ACCOUNT_KEY", raising=False)
    for name, value in (account.key_environment() if by == "key" else account.environment()).items():
        monkeypatch.setenv(name, value)
    uri = f"azureml://datastores/lake/paths/models/{by}"
    asyncio.run(upload(service, written(tmp_path / "made"), uri))
    asyncio.run(upload(service, written(tmp_path / "made"), f"{uri}-other"))  # not below, though it begins alike
    assert read(asyncio.run(download(service, uri, tmp_path / "got"))) == CONTENT


@pytest.mark.parametrize(
    ("uri", "problem"),
    [
        ("azureml://datastores/workspaceblobstore/paths/nothing", "there is nothing at that path"),
        ("azureml://datastores/pond/paths/x", "no datastore 'pond'"),
        ("wasbs://elsewhere/x", "is no path of the workspace"),
    ],
)
def test_an_address_that_leads_nowhere_is_the_service_s_refusal(
    service: Arm, tmp_path: Path, uri: str, problem: str
) -> None:
    with pytest.raises(Refused, match=problem):
        asyncio.run(download(service, uri, tmp_path / "got"))


def test_a_job_s_run_has_the_job_s_name(service: Arm) -> None:
    async def ran() -> tuple[dict[str, object], dict[str, object]]:
        mlflow = service.mlflow
        experiment = await mlflow.create_run("train-1", "flights", "Train", {"job": "train-1"})
        again = await mlflow.create_run("train-2", "flights", "Train", {})
        assert again == experiment
        await mlflow.end_run("train-1", "KILLED")
        run = (await mlflow.call("GET", "runs/get", "run_id=train-1")).json()["run"]
        logged = await mlflow.call("POST", "runs/set-tag", body=b'{"run_id": "train-1", "key": "a", "value": "b"}')
        assert logged.is_success
        await service.programs.end()
        return run["info"], run["data"]

    info, data = asyncio.run(ran())
    assert (info["run_id"], info["run_name"], info["status"]) == ("train-1", "Train", "KILLED")
    assert {"key": "job", "value": "train-1"} in data["tags"]  # type: ignore[operator]
