"""On serverless compute the program that fills a Redis reads its password from a secret of Databricks."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import redis
from pyspark.sql import SparkSession

from dbx_jobs.online_contract import PASSWORD_VARIABLE, OnlineRequest, redis_key
from ml_platform.errors import JobError
from ml_platform.gateways.jobs import Jobs, Program
from ml_platform_tests.contract.place import Place
from ml_platform_tests.emulators.databricks.started import Databricks
from ml_platform_tests.jobs.asked import DAILY, PRODUCT, asked_in, table_of
from ml_platform_tests.jobs.conftest import sail
from ml_platform_tests.online_stores import PASSWORD, redis_server

__all__ = ["sail"]
pytestmark = pytest.mark.cloud

DAY = "2013-04-12"
SECRET = "ml-platform/online-store-password"


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory, sail: SparkSession) -> Path:
    root = tmp_path_factory.mktemp("lake")
    with asked_in(root, sail, "2013-04-03", DAY):
        return root


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with redis_server(tmp_path_factory.mktemp("redis")) as (uri, _):
        yield uri


@pytest.fixture(autouse=True)
def no_password_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(PASSWORD_VARIABLE, raising=False)


def filled(jobs: Jobs, lake: Path, store: str) -> dict[str, Any]:
    found: dict[str, Any] = {}

    @dg.asset
    def online(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
        found.update(jobs.run(context, Program.ONLINE_FEATURES, OnlineRequest(table_of(lake), store, DAILY, DAY)))
        return dg.MaterializeResult()

    dg.materialize([online], instance=dg.DagsterInstance.ephemeral())
    return found


def written(workspace: Databricks) -> set[Path]:
    """The files of the volume."""
    return {path for path in Path(workspace.volume).rglob("*") if path.is_file()}


@pytest.mark.parametrize("compute", ["serverless", "cluster"])
def test_it_logs_in_with_the_secret_and_writes_it_nowhere(
    workspace: Databricks, lake: Path, store: str, cluster: Path, compute: str
):
    workspace.keep(online_store_password=PASSWORD)
    jobs = workspace.jobs(compute=compute if compute == "serverless" else str(cluster), store_secret=SECRET)
    report = filled(jobs, lake, store)
    with redis.Redis.from_url(store, password=PASSWORD) as client:
        assert client.hlen(redis_key(PRODUCT)) == sum(report["rows"].values()) + 1
    run = workspace.runs()[-1]
    assert PASSWORD not in json.dumps(run)
    assert [path for path in written(workspace) if PASSWORD.encode() in path.read_bytes()] == []


@pytest.mark.parametrize(
    ("secret", "said"),
    [
        ("", "does not let this program in.*ML_PLATFORM_DATABRICKS_ONLINE_STORE_SECRET"),
        ("ml-platform/other", "Secret does not exist with scope: ml-platform and key: other"),
        ("nowhere/other", "Secret scope does not exist with name: nowhere"),
    ],
)
def test_a_secret_that_is_not_there_is_told_with_what_to_do(
    workspace: Databricks, lake: Path, store: str, secret: str, said: str
):
    workspace.keep(online_store_password=PASSWORD)
    with pytest.raises(JobError, match=said) as failed:
        filled(workspace.jobs(store_secret=secret), lake, store)
    scope, _, key = secret.partition("/")
    assert not secret or f"databricks secrets put-secret {scope} {key}" in str(failed.value)


def test_no_other_program_is_told_of_it(workspace: Databricks):
    before = written(workspace)
    Place(workspace.jobs(store_secret=SECRET)).run("reports")
    told = written(workspace) - before
    assert told
    assert [path for path in told if SECRET.encode() in path.read_bytes()] == []
