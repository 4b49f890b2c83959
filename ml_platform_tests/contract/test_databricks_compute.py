"""The wheel goes up once a version and runs on both kinds of compute, a real Spark program too."""

import json
import shutil
import tomllib
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from deltalake import DeltaTable
from obstore.store import from_url
from packaging.requirements import Requirement

from dbx_jobs.contract import Expectation, IngestRequest, from_dict, to_dict
from ml_platform.errors import JobError, SettingsError
from ml_platform.gateways.jobs import Jobs, Program, SubprocessJobs
from ml_platform.gateways.jobs.databricks.wheel import SOURCES, build, content_hash
from ml_platform_tests.contract.place import Place
from ml_platform_tests.emulators.databricks.started import Databricks, databricks
from ml_platform_tests.emulators.lakes import Storage
from ml_platform_tests.jobs.landed import Lake, real_day

pytestmark = pytest.mark.cloud

DAY = "2013-01-05"
SERVERLESS, NEW_CLUSTER = "serverless", "new_cluster"
CHECKS = [Expectation("dest_is_known", "expect_column_values_to_not_be_null", {"column": "dest"})]


@pytest.fixture(scope="module")
def databricks_of_the_module(storage: Storage) -> Iterator[Databricks]:
    """Its Spark reaches the storage account, as the access connector of Unity Catalog does."""
    with databricks(storage.front.cloud, storage.environment("key")) as started:
        yield started


def test_the_wheel_is_uploaded_once_a_version(workspace: Databricks):
    for _ in range(2):
        assert Place(workspace.jobs()).run("reports") == {"asked": "2013-01-01"}
    calls = workspace.emulator.record()["calls"]
    assert len([call for call in calls if call["method"] == "PUT" and call["path"].endswith(".whl")]) == 1


def test_another_content_of_the_programs_is_another_version(tmp_path: Path):
    copy = shutil.copytree(SOURCES, tmp_path / "dbx_jobs")
    assert content_hash(copy) == content_hash(SOURCES)
    (copy / "clock.py").write_text("")
    assert content_hash(copy) != content_hash(SOURCES)


def test_the_wheel_of_one_version_is_one_file_whoever_builds_it(tmp_path: Path):
    one, other = (build(SOURCES, tmp_path / name) for name in ("one", "other"))
    assert one.read_bytes() == other.read_bytes()


def test_a_program_runs_from_the_wheel_beside_the_versions_that_are_installed_here(workspace: Databricks):
    Place(workspace.jobs()).run("reports")
    body = workspace.runs()[-1]["body"]
    wheel, *others = body["environments"][0]["spec"]["dependencies"]
    assert wheel == f"{workspace.volume}/wheels/{content_hash(SOURCES)}/dbx_jobs-0.1.0-py3-none-any.whl"
    declared = tomllib.loads((SOURCES / "pyproject.toml").read_text())["project"]["dependencies"]
    assert others == [f"{each.name}=={version(each.name)}" for each in map(Requirement, declared)]


def test_a_new_cluster_is_the_declared_one_with_the_wheel_as_a_library(workspace: Databricks, cluster: Path):
    assert Place(workspace.jobs(compute=str(cluster))).run("reports") == {"asked": "2013-01-01"}
    task = workspace.runs()[-1]["body"]["tasks"][0]
    assert task["new_cluster"]["node_type_id"] == "Standard_D4ds_v5"
    assert set(task["new_cluster"]["spark_env_vars"]) == {"STAGE", "DAGSTER_PIPES_CONTEXT", "DAGSTER_PIPES_MESSAGES"}
    assert task["libraries"][0]["whl"].endswith(".whl")


def test_a_library_that_cannot_be_installed_is_the_error(workspace: Databricks):
    place = Place(workspace.jobs())
    place.run("reports")
    shutil.rmtree(Path(workspace.volume, "wheels"))
    with pytest.raises(JobError, match="LIBRARY_INSTALLATION_ERROR .*whl does not exist"):
        place.run("reports")
    assert Place(workspace.jobs()).run("reports") == {"asked": "2013-01-01"}


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("spark_version: 17.3.x-scala2.13\nworkers: 2\n", r"\['workers'\] no new_cluster has"),
        ("[1, 2]", "holds no mapping"),
        ("a: [", "neither YAML nor JSON"),
        (None, "give 'serverless' or the path"),
    ],
)
def test_a_file_that_declares_no_cluster_is_refused(
    workspace: Databricks, tmp_path: Path, content: str | None, told: str
):
    declared = tmp_path / "cluster.yaml"
    if content is not None:
        declared.write_text(content)
    with pytest.raises(SettingsError, match=told):
        Place(workspace.jobs(compute=str(declared))).run("reports")


@pytest.mark.parametrize("kind", [SERVERLESS, NEW_CLUSTER])
def test_a_day_of_flights_is_ingested_as_it_is_here(workspace: Databricks, cluster: Path, tmp_path: Path, kind: str):
    here, there = _landed(tmp_path / "here"), _landed(tmp_path / "there")
    one = _ingested(SubprocessJobs(), here.request("flights", DAY, DAY, CHECKS))
    other = _ingested(_jobs(workspace, kind, cluster), there.request("flights", DAY, DAY, CHECKS))
    assert _placeless(one, here.root.as_uri()) == _placeless(other, there.root.as_uri())
    assert other["partitions"][0]["rows"] == DeltaTable(there.uri("lake/flights")).to_pyarrow_table().num_rows > 600
    assert [check["passed"] for check in other["checks"]] == [True]


@pytest.mark.parametrize("kind", [SERVERLESS, NEW_CLUSTER])
def test_a_day_of_flights_is_ingested_in_the_lake_of_azure_without_a_credential_in_the_program(
    workspace: Databricks,
    storage: Storage,
    cluster: Path,
    tmp_path: Path,
    kind: str,
    monkeypatch: pytest.MonkeyPatch,
):
    for variable, value in storage.environment("key").items():
        monkeypatch.setenv(variable, value)
    root = storage.lake(f"lake-{kind.replace('_', '-')}")
    landed = _landed(tmp_path)
    name, content = f"flights/{DAY}/rows.csv", (tmp_path / "landing" / "flights" / DAY / "rows.csv").read_bytes()
    from_url(f"{root}/landing").put(name, content)
    text = json.dumps(to_dict(landed.request("flights", DAY, DAY, CHECKS))).replace(landed.root.as_uri(), root)
    report = _ingested(_jobs(workspace, kind, cluster), from_dict(IngestRequest, json.loads(text)))
    assert report["table_uri"] == f"{root}/lake/flights"
    assert report["partitions"][0]["rows"] == DeltaTable(report["table_uri"]).to_pyarrow_table().num_rows > 600


def _jobs(workspace: Databricks, kind: str, cluster: Path) -> Jobs:
    return workspace.jobs(compute=kind if kind == SERVERLESS else str(cluster))


def _landed(root: Path) -> Lake:
    lake = Lake(root)
    lake.land("flights", DAY, real_day("flights", DAY))
    return lake


def _ingested(jobs: Jobs, request: IngestRequest) -> dict[str, Any]:
    found: dict[str, Any] = {}

    @dg.asset
    def flights(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
        found.update(jobs.run(context, Program.INGEST, request))
        return dg.MaterializeResult()

    dg.materialize([flights], instance=dg.DagsterInstance.ephemeral())
    return found


def _placeless(report: dict[str, Any], root: str) -> dict[str, Any]:
    """The report as it would be of a lake elsewhere."""
    return json.loads(json.dumps(report).replace(root, "lake:"))
