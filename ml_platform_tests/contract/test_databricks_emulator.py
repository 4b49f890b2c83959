"""The emulated workspace is as strict as the real one is published and documented to be."""

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from databricks.sdk import WorkspaceClient
from databricks.sdk.errors import BadRequest, InvalidParameterValue, NotFound

from ml_platform.gateways.jobs.databricks.client import connected
from ml_platform_tests.contract.place import PROGRAMS, until
from ml_platform_tests.emulators.databricks.started import Databricks
from ml_platform_tests.emulators.specs import specs_folder

WHEEL = {"package_name": "dbx_jobs", "entry_point": "dbx-job", "parameters": [f"{PROGRAMS}.silent_program"]}


@pytest.fixture
def client(workspace: Databricks) -> WorkspaceClient:
    return connected(workspace.emulator.address)


@pytest.fixture
def wheel(workspace: Databricks, client: WorkspaceClient, tmp_path: Path) -> Iterator[str]:
    """The programs' wheel in the volume."""
    from ml_platform.gateways.jobs.databricks.wheel import SOURCES, build

    built, folder = build(SOURCES, tmp_path), f"{workspace.volume}/here"
    client.files.create_directory(folder)
    client.files.upload(f"{folder}/{built.name}", io.BytesIO(built.read_bytes()), overwrite=True)
    yield f"{folder}/{built.name}"
    client.files.delete(f"{folder}/{built.name}")


def body(*dependencies: str, **changes: Any) -> dict[str, Any]:
    """What runs/submit takes, with changes to its task."""
    task = {"task_key": "silent", "python_wheel_task": WHEEL, "environment_key": "e"} | changes
    spec = {"environment_version": "4", "dependencies": list(dependencies)}
    return {"run_name": "silent", "tasks": [task], "environments": [{"environment_key": "e", "spec": spec}]}


def submit(client: WorkspaceClient, asked: dict[str, Any]) -> int:
    answer = client.api_client.do("POST", "/api/2.2/jobs/runs/submit", body=asked)
    assert isinstance(answer, dict)
    return answer["run_id"]


def ended(client: WorkspaceClient, run_id: int) -> Any:
    until(lambda: client.jobs.get_run(run_id).as_dict()["status"]["state"] == "TERMINATED")
    return client.jobs.get_run(run_id)


@pytest.mark.skipif(specs_folder() is None, reason="ML_PLATFORM_SPECS is not set")
@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"new_key": 1}, "'new_key' was unexpected"),
        ({"python_wheel_task": {"entry_point": "x"}}, "'package_name' is a required property"),
        ({"timeout_seconds": "soon"}, "'soon' is not of type 'integer'"),
    ],
)
def test_a_body_that_is_not_as_published_is_refused_and_recorded(
    workspace: Databricks, client: WorkspaceClient, changes: dict[str, Any], told: str
):
    with pytest.raises(InvalidParameterValue, match=told):
        submit(client, body(**changes))
    assert workspace.emulator.pardon(told)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"environment_key": "other"}, "environment other is not declared"),
        ({"libraries": [{"whl": "/Volumes/x.whl"}]}, "Libraries field is not supported for serverless"),
        ({"new_cluster": {"spark_version": "17.3.x-scala2.13"}}, "a task has one of"),
        ({"python_wheel_task": WHEEL | {"parameters": ["x" * 20_000]}}, "longer than 10000 bytes"),
    ],
)
def test_a_body_that_breaks_the_service_s_rules_is_refused_and_recorded(
    workspace: Databricks, client: WorkspaceClient, changes: dict[str, Any], told: str
):
    with pytest.raises(InvalidParameterValue, match=told):
        submit(client, body(**changes))
    assert workspace.emulator.pardon(told)


def test_a_token_is_one_run_whatever_else_is_asked(client: WorkspaceClient, wheel: str):
    first = submit(client, body(wheel) | {"idempotency_token": "once"})
    assert submit(client, body("other") | {"idempotency_token": "once"}) == first
    assert submit(client, body(wheel) | {"idempotency_token": "twice"}) != first


def test_a_library_over_the_runtime_s_own_is_recorded(workspace: Databricks, client: WorkspaceClient, wheel: str):
    ended(client, submit(client, body(wheel, "pyspark")))
    assert workspace.emulator.pardon("pyspark would be installed over the runtime's own")


def test_a_version_that_is_not_there_cannot_be_installed(client: WorkspaceClient, wheel: str):
    run = ended(client, submit(client, body(wheel, "redis==0.1")))
    assert run.as_dict()["status"]["termination_details"]["code"] == "LIBRARY_INSTALLATION_ERROR"


def test_only_the_run_of_a_task_has_an_output(workspace: Databricks, client: WorkspaceClient, wheel: str):
    run = ended(client, submit(client, body(wheel)))
    assert client.jobs.get_run_output(run.tasks[0].run_id).logs == ""
    with pytest.raises(BadRequest, match="multiple tasks"):
        client.jobs.get_run_output(run.run_id)
    assert workspace.emulator.pardon("is the run of a job")
    assert run.run_id in {each.run_id for each in client.jobs.list_runs(completed_only=True)}


@pytest.mark.parametrize(
    ("way", "told"),
    [("persists", "PERSIST TABLE is not supported"), ("sets_anything", "CONFIG_NOT_AVAILABLE"), ("imports", "pysail")],
)
def test_serverless_compute_refuses_what_it_is_documented_to_refuse(
    client: WorkspaceClient, wheel: str, way: str, told: str
):
    task = WHEEL | {"parameters": [f"{PROGRAMS}.serverless_program", way]}
    run = ended(client, submit(client, body(wheel, python_wheel_task=task)))
    assert told in (client.jobs.get_run_output(run.tasks[0].run_id).error or "")


def test_a_file_that_a_task_still_writes_is_not_there(workspace: Databricks, client: WorkspaceClient):
    path = Path(workspace.volume, "written")
    with path.open("w") as file:
        file.write("half")
        file.flush()
        with pytest.raises(NotFound):
            client.files.download(str(path))
    assert client.files.download(str(path)).contents.read() == b"half"  # type: ignore[union-attr]


def test_a_folder_is_listed_in_pages_and_removed_when_it_is_empty(workspace: Databricks, client: WorkspaceClient):
    folder = Path(workspace.volume, "pages")
    folder.mkdir()
    for name in "abc":
        (folder / name).touch()
    assert [e.name for e in client.files.list_directory_contents(str(folder), page_size=2)] == ["a", "b", "c"]
    with pytest.raises(BadRequest, match="not empty"):
        client.files.delete_directory(str(folder))


def test_a_caller_without_a_token_and_an_unknown_route_are_refused(workspace: Databricks):
    cloud = workspace.emulator.cloud
    with httpx.Client(base_url=workspace.emulator.address, verify=str(cloud.ca), trust_env=False) as http:
        assert http.get("/api/2.2/jobs/runs/list").status_code == 401
        assert http.get("/api/2.1/clusters/list").status_code == 404
    assert workspace.emulator.record()["unknown_routes"] == ["GET /api/2.1/clusters/list"]
    workspace.emulator.clear()
