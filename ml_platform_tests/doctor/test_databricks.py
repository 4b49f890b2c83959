"""The Databricks workspace on the loopback, and each thing that can be wrong with it."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from dbx_jobs.online_contract import PASSWORD_VARIABLE
from ml_platform.settings import Settings
from ml_platform_tests.doctor.looked import assert_failed, changed, look
from ml_platform_tests.doctor.loopback import Loopback, reached
from ml_platform_tests.emulators.databricks.directory import ENTITLEMENTS

pytestmark = pytest.mark.cloud

CLUSTER = {"spark_version": "17.3.x-scala2.13", "node_type_id": "Standard_D4ds_v5", "num_workers": 1}
POLICY = "0011223344556677"


@pytest.fixture(autouse=True)
def here(cloud: Loopback) -> Iterator[None]:
    with reached(cloud):
        yield
    cloud.spark.emulator.clear_faults()
    cloud.directory(entitlements=ENTITLEMENTS)
    cloud.spark.emulator.assert_clean()


@pytest.fixture
def clustered(cloud: Loopback, tmp_path: Path) -> Settings:
    """A deployment with new clusters instead of serverless compute, declared in cluster.json."""
    return changed(cloud.settings, databricks_compute=str(tmp_path / "cluster.json"))


def declare(settings: Settings, **instead: object) -> None:
    Path(settings.databricks_compute).write_text(json.dumps(CLUSTER | instead))


def test_the_workspace_tells_who_asks_and_how_it_logged_in(cloud: Loopback) -> None:
    result = look(cloud.settings, "databricks")
    assert result.status == "ok", result
    assert (result.seen["as"], result.seen["login"]) == (cloud.spark.client_id, "oauth-m2m")


def test_a_wrong_secret_is_told_and_not_shown(cloud: Loopback) -> None:
    with reached(cloud, {"DATABRICKS_CLIENT_SECRET": "c4n4ry-secret"}):
        result = look(cloud.settings, "databricks")
    assert_failed(result, "DATABRICKS_CLIENT_SECRET", cloud.settings.databricks_host)
    assert "c4n4ry" not in repr(result)


def test_without_a_login_the_variables_of_one_are_told(cloud: Loopback, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DATABRICKS_CLIENT_ID", "DATABRICKS_CLIENT_SECRET", "IDENTITY_ENDPOINT", "IDENTITY_HEADER"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("PATH", "")
    monkeypatch.setenv("HOME", "/nowhere")
    assert_failed(look(cloud.settings, "databricks"), "DATABRICKS_CLIENT_ID", "DATABRICKS_CLIENT_SECRET")


def test_a_workspace_that_cannot_be_reached_is_told(cloud: Loopback) -> None:
    result = look(changed(cloud.settings, databricks_host="https://127.0.0.1:1"), "databricks")
    assert_failed(result, "ML_PLATFORM_DATABRICKS_HOST", "let this machine reach https://127.0.0.1:1")


def test_an_identity_that_is_not_in_the_workspace_is_to_be_added(cloud: Loopback) -> None:
    cloud.spark.emulator.fault("forbidden", path="/scim/v2/Me", count=9)
    assert_failed(look(cloud.settings, "databricks"), "Add this identity to", "Workspace access")


def test_an_identity_that_may_not_use_the_workspace_is_to_be_entitled(cloud: Loopback) -> None:
    cloud.directory(entitlements=["databricks-sql-access"])
    result = look(cloud.settings, "databricks")
    assert_failed(result, f"Give {cloud.spark.client_id} the entitlement Workspace access")


def test_throttling_that_passes_is_waited_for_and_one_that_stays_is_told(cloud: Loopback) -> None:
    cloud.spark.emulator.fault("throttle", path="/scim/v2/Me", count=1, seconds=1)
    assert look(cloud.settings, "databricks").status == "ok"
    cloud.spark.emulator.fault("throttle", path="/scim/v2/Me", count=99, seconds=1)
    assert_failed(look(cloud.settings, "databricks"), "again in a minute")


def test_the_volume_is_written_read_and_left_as_it_was(cloud: Loopback) -> None:
    result = look(cloud.settings, "databricks volume")
    assert result.status == "ok", result
    left = [path for path in Path(cloud.spark.volume).rglob("*") if path.is_file()]
    assert left == []


def test_a_volume_that_is_not_there_is_to_be_created(cloud: Loopback) -> None:
    settings = changed(cloud.settings, databricks_volume="/Volumes/main/ml/nowhere")
    result = look(settings, "databricks volume")
    assert_failed(result, "Create volume main.ml.nowhere", "ML_PLATFORM_DATABRICKS_VOLUME")


@pytest.mark.parametrize(("method", "path"), [("GET", "/unity-catalog/volumes/"), ("PUT", "/fs/files/")])
def test_a_volume_that_may_not_be_read_or_written_names_the_grants(cloud: Loopback, method: str, path: str) -> None:
    cloud.spark.emulator.fault("forbidden", method, path, count=9)
    result = look(cloud.settings, "databricks volume")
    name = ".".join(cloud.spark.volume.split("/")[2:])
    assert_failed(result, f"Grant {cloud.spark.client_id} READ VOLUME and WRITE VOLUME on volume {name}", "USE SCHEMA")


def test_serverless_compute_cannot_be_looked_at(cloud: Loopback) -> None:
    assert look(cloud.settings, "databricks compute").status == "skipped"


def test_a_new_cluster_of_known_parts_is_well(cloud: Loopback, clustered: Settings) -> None:
    declare(clustered, policy_id=POLICY)
    result = look(clustered, "databricks compute")
    assert (result.status, result.seen["policy"]) == ("ok", "jobs of ml_platform"), result


@pytest.mark.parametrize(
    ("key", "value"), [("spark_version", "9.1.x-scala2.12"), ("node_type_id", "Standard_Nothing"), ("policy_id", "FF")]
)
def test_a_part_of_a_new_cluster_that_the_workspace_does_not_know_is_named(
    clustered: Settings, key: str, value: str
) -> None:
    declare(clustered, **{"policy_id": POLICY, key: value})
    assert_failed(look(clustered, "databricks compute"), key, "cluster.json")


def test_without_a_policy_the_right_to_create_clusters_is_needed(cloud: Loopback, clustered: Settings) -> None:
    declare(clustered)
    assert_failed(look(clustered, "databricks compute"), "Unrestricted cluster creation", "policy_id")
    cloud.directory(entitlements=["workspace-access", "allow-cluster-create"])
    assert look(clustered, "databricks compute").status == "ok"


def test_a_declaration_of_compute_that_is_none_fails(clustered: Settings) -> None:
    assert_failed(look(clustered, "databricks compute"), "ML_PLATFORM_DATABRICKS_COMPUTE")
    declare(clustered, no_such_key=1)
    assert_failed(look(clustered, "databricks compute"), "ML_PLATFORM_DATABRICKS_COMPUTE")


def test_runs_may_be_read_or_the_right_to_is_told(cloud: Loopback) -> None:
    assert look(cloud.settings, "databricks jobs").seen == {"latest_run": "none"}
    cloud.spark.emulator.fault("forbidden", path="/jobs/runs/list", count=9)
    assert_failed(look(cloud.settings, "databricks jobs"), "Workspace access", "run jobs")


def in_redis(settings: Settings, secret: str = "") -> Settings:
    return changed(
        settings,
        online_store_uri="redis://127.0.0.1:1/0",
        online_store_password="c4n4ry",
        databricks_online_store_secret=secret,
    )


def test_the_secret_with_the_password_of_the_store_is_looked_for(cloud: Loopback, clustered: Settings) -> None:
    cloud.spark.keep(online_store_password="c4n4ry")
    settings = in_redis(cloud.settings, "ml-platform/online-store-password")
    result = look(settings, "databricks secret")
    assert (result.status, result.seen) == ("ok", {"scope": "ml-platform", "key": "online-store-password"}), result
    declare(clustered, spark_env_vars={PASSWORD_VARIABLE: "{{secrets/ml-platform/online-store-password}}"})
    assert look(in_redis(clustered), "databricks secret").status == "ok"
    missing = look(in_redis(cloud.settings, "ml-platform/other"), "databricks secret")
    assert_failed(missing, "databricks secrets put-secret ml-platform other")
    assert_failed(look(in_redis(cloud.settings, "nowhere/other"), "databricks secret"), "create-scope nowhere")
    cloud.spark.emulator.fault("forbidden", path="/secrets/list", count=9)
    assert_failed(look(settings, "databricks secret"), f"put-acl ml-platform {cloud.spark.client_id} READ")


def test_compute_that_gets_no_password_of_the_store_is_told(cloud: Loopback, clustered: Settings) -> None:
    setting = "ML_PLATFORM_DATABRICKS_ONLINE_STORE_SECRET"
    result = look(in_redis(cloud.settings), "databricks secret")
    assert_failed(result, setting)
    assert "c4n4ry" not in repr(result)
    declare(clustered)
    assert_failed(look(in_redis(clustered), "databricks secret"), setting, f"{PASSWORD_VARIABLE} in spark_env_vars")
