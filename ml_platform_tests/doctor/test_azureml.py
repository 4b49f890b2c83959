"""The Azure ML workspace on the loopback, and each thing that can be wrong with it."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from azure.ai.ml.entities import ManagedOnlineEndpoint

from ml_platform.asset_checks.products import declared_products
from ml_platform.core.product_endpoint import AutoscaleSpec
from ml_platform.core.product_monitors import AzureMLMonitorSpec, MonitorsSpec
from ml_platform.gateways.endpoints import Hosting
from ml_platform.gateways.workspace import workspace_client
from ml_platform_tests.doctor.looked import assert_failed, changed, look
from ml_platform_tests.doctor.loopback import Loopback, reached
from ml_platform_tests.emulators.arm.capacity import AUTOSCALER, DATA_SCIENTIST
from ml_platform_tests.emulators.process import Cloud, started
from ml_platform_tests.loopback_cloud import SUBSCRIPTION, WORKSPACE

pytestmark = pytest.mark.cloud

READER = {"actions": ["*/read"], "notActions": [], "dataActions": [], "notDataActions": []}
PLACE = "workspace ws-loopback in resource group rg-loopback"


@pytest.fixture(autouse=True)
def here(cloud: Loopback) -> Iterator[None]:
    with reached(cloud):
        yield


def test_the_workspace_tells_its_region(cloud: Loopback) -> None:
    result = look(cloud.settings, "azureml")
    assert result.status == "ok", result
    assert (result.seen["workspace"], result.seen["region"]) == ("ws-loopback", "westeurope")


@pytest.mark.parametrize("other", [WORKSPACE.replace("ws-loopback", "ws-other"), f"{SUBSCRIPTION}/resourceGroups/rg"])
def test_a_workspace_that_is_not_there_is_named(cloud: Loopback, other: str) -> None:
    result = look(changed(cloud.settings, azureml_workspace=other), "azureml")
    assert result.status == "failed"
    assert "ML_PLATFORM_AZUREML_WORKSPACE" in f"{result.reason} {result.remedy}"


def test_a_token_of_another_tenant_is_told(cloud: Loopback, tmp_path: Path) -> None:
    with started(Cloud(tmp_path), "arm") as other:
        foreign = {"IDENTITY_ENDPOINT": f"{other.addresses[1]}/msi/token", "IDENTITY_HEADER": other.cloud.secret}
        with reached(cloud, foreign):
            assert_failed(look(cloud.settings, "azureml"), "an identity of the tenant", "AZURE_TENANT_ID", PLACE)


def test_an_identity_without_a_role_is_to_be_given_it(cloud: Loopback) -> None:
    cloud.arm.fault("forbidden", "GET", "/workspaces/ws-loopback$", count=9)
    result = look(cloud.settings, "azureml")
    assert_failed(result, f"the role AzureML Data Scientist on {PLACE}", "oid 55555555-6666-7777-8888-999999999999")


def test_throttling_that_passes_is_waited_for_and_one_that_stays_is_told(cloud: Loopback) -> None:
    cloud.arm.fault("throttle", "GET", "/workspaces/ws-loopback$", count=1, seconds=1)
    assert look(cloud.settings, "azureml").status == "ok"
    assert not cloud.arm.faults_left()
    cloud.arm.fault("throttle", "GET", "/workspaces/ws-loopback$", count=9, seconds=1)
    assert_failed(look(cloud.settings, "azureml"), "Wait 1 seconds and ask again", PLACE)


def test_a_service_that_fails_is_told_from_one_that_refuses(cloud: Loopback) -> None:
    cloud.arm.fault("error", "GET", "/workspaces/ws-loopback$", count=9)
    assert_failed(look(cloud.settings, "azureml"), "service health")


def test_without_a_credential_the_ways_to_one_are_told(cloud: Loopback, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("IDENTITY_ENDPOINT", "IDENTITY_HEADER"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AZURE_POD_IDENTITY_AUTHORITY_HOST", "http://127.0.0.1:1")
    monkeypatch.setenv("PATH", "")
    assert_failed(look(cloud.settings, "azureml"), "Give this process an identity")


def test_the_role_of_a_data_scientist_is_enough_and_a_reader_s_is_not(cloud: Loopback) -> None:
    assert look(cloud.settings, "azureml rights").status == "ok"
    cloud.capacity(roles=[READER])
    result = look(cloud.settings, "azureml rights")
    assert_failed(result, "AzureML Data Scientist", PLACE)
    assert "jobs/write" in str(result.reason) and "jobs/read" not in str(result.reason)
    cloud.capacity(roles=[READER, DATA_SCIENTIST])
    assert look(cloud.settings, "azureml rights").status == "ok"


def test_the_right_to_scale_is_looked_at_where_a_product_declares_it(
    cloud: Loopback, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = look(cloud.settings, "azureml autoscaling")
    assert result.status == "skipped" and "no product declares endpoint.autoscale" in str(result.reason)
    declared = {"flight_delays": AutoscaleSpec(min_instances=2, max_instances=5)}
    monkeypatch.setattr("ml_platform.doctor.azureml_rights.declared_autoscaling", lambda: declared)
    result = look(cloud.settings, "azureml autoscaling")
    assert (result.status, result.seen) == ("ok", {"flight_delays": "2 to 5 instances"}), result
    cloud.capacity(group_roles=[READER])
    result = look(cloud.settings, "azureml autoscaling")
    cloud.capacity(group_roles=[AUTOSCALER])
    assert_failed(result, "autoscale-role.bicep", "on resource group rg-loopback", "oid 55555555-6666")
    assert "may not write, delete Microsoft.Insights" in str(result.reason)


def test_rights_that_may_not_be_read_are_skipped(cloud: Loopback) -> None:
    cloud.arm.fault("forbidden", path="/permissions$", count=9)
    result = look(cloud.settings, "azureml rights")
    assert result.status == "skipped" and "may not read its rights" in str(result.reason)


def test_a_cluster_tells_its_nodes_and_those_that_are_left(cloud: Loopback) -> None:
    cloud.capacity(nodes=["running", "idle"])
    result = look(cloud.settings, "azureml compute")
    cloud.capacity(nodes=[])
    assert (result.status, result.seen["nodes_at_most"], result.seen["nodes_left"]) == ("ok", 2, 1), result


def test_a_cluster_with_unusable_nodes_fails(cloud: Loopback) -> None:
    cloud.capacity(nodes=["unusable"])
    result = look(cloud.settings, "azureml compute")
    cloud.capacity(nodes=[])
    assert_failed(result, "Delete the unusable nodes of compute cpu-cluster")


def test_a_cluster_that_could_not_be_made_fails(cloud: Loopback) -> None:
    cloud.capacity(state="Failed")
    result = look(cloud.settings, "azureml compute")
    cloud.capacity(state="Succeeded")
    assert_failed(result, "delete it and create it anew", "cpu-cluster")
    assert result.seen["state"] == "Failed"


def test_a_cluster_that_is_not_there_is_to_be_created(cloud: Loopback) -> None:
    settings = changed(cloud.settings, azureml_compute="gpu-cluster")
    assert_failed(
        look(settings, "azureml compute"),
        f"Create compute cluster gpu-cluster in {PLACE}",
        "ML_PLATFORM_AZUREML_COMPUTE",
    )


@pytest.mark.parametrize(
    ("check", "field"),
    [
        ("azureml compute", "azureml_compute"),
        ("azureml training image", "azureml_training_environment"),
        ("azureml scoring image", "azureml_scoring_environment"),
        ("azureml datastore", "azureml_datastore"),
    ],
)
def test_a_setting_that_is_missing_is_named(cloud: Loopback, check: str, field: str) -> None:
    assert_failed(look(changed(cloud.settings, **{field: ""}), check), f"Set ML_PLATFORM_{field.upper()}", PLACE)


@pytest.mark.parametrize(
    ("check", "field"),
    [
        ("azureml training image", "azureml_training_environment"),
        ("azureml scoring image", "azureml_scoring_environment"),
    ],
)
def test_an_environment_that_is_not_there_is_to_be_created(cloud: Loopback, check: str, field: str) -> None:
    assert look(cloud.settings, check).seen["image"]
    settings = changed(cloud.settings, **{field: "azureml:ml-platform-training:99"})
    assert_failed(look(settings, check), "Create version 99 of environment ml-platform-training", f"{field.upper()}")
    settings = changed(cloud.settings, **{field: "azureml:ml-platform-training@latest"})
    assert_failed(look(settings, check), "azureml:NAME:VERSION, an exact version")


def test_a_datastore_of_another_container_or_none_fails(cloud: Loopback) -> None:
    assert look(cloud.settings, "azureml datastore").seen["points_at"] == "lake@devstoreaccount1"
    other = look(changed(cloud.settings, azureml_datastore="workspaceblobstore"), "azureml datastore")
    assert_failed(other, "Create a datastore of lake@devstoreaccount1", "ML_PLATFORM_AZUREML_DATASTORE")
    assert other.seen["points_at"] == "azureml-blobstore@stworkspace"
    none = look(changed(cloud.settings, azureml_datastore="nowhere"), "azureml datastore")
    assert_failed(none, f"Create datastore nowhere in {PLACE}")


def test_cores_of_the_subscription_are_told_and_too_few_fail(cloud: Loopback) -> None:
    trains, serves = (look(cloud.settings, f"azureml {what} quota") for what in ("training", "serving"))
    assert (trains.seen["cores_limit"], trains.seen["cores_used"], trains.seen["cores_each"]) == (24, 0, 4), trains
    assert (serves.seen["cores_limit"], serves.seen["cores_used"], serves.seen["cores_wanted"]) == (24, 8, 4), serves
    many = look(changed(cloud.settings, azureml_instances=5), "azureml serving quota")
    assert_failed(many, "Ask for 28 cores of standardDSv2Family in westeurope")
    cloud.capacity(cores={"standardDSv3Family": 2})
    few = look(cloud.settings, "azureml training quota")
    cloud.capacity(cores={})
    assert_failed(few, "Ask for 4 cores of standardDSv3Family")


def test_cores_are_wanted_for_as_many_instances_as_an_endpoint_may_have(
    cloud: Loopback, monkeypatch: pytest.MonkeyPatch
) -> None:
    declared = {"flight_delays": AutoscaleSpec(min_instances=1, max_instances=5)}
    monkeypatch.setattr("ml_platform.doctor.azureml_quota.declared_autoscaling", lambda: declared)
    result = look(cloud.settings, "azureml serving quota")
    assert_failed(result, "Ask for 28 cores of standardDSv2Family in westeurope")
    assert "a deployment of 5 instances wants 20 cores" in str(result.reason)


def test_a_monitor_that_is_declared_and_not_there_is_put_back_by_the_endpoint(
    cloud: Loopback, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert look(cloud.settings, "azureml monitors").status == "skipped"
    flights = declared_products()[0]
    monitors = MonitorsSpec(azureml=AzureMLMonitorSpec())
    declared = replace(flights, product=flights.product.model_copy(update={"monitors": monitors}))
    monkeypatch.setattr("ml_platform.doctor.azureml_monitors.declared_products", lambda: [declared])
    result = look(cloud.settings, "azureml monitors")
    assert result.status == "ok" and result.seen["watched"] == "none, nothing is served yet", result
    hosting = Hosting(WORKSPACE, "")
    client = workspace_client(WORKSPACE)
    endpoint = ManagedOnlineEndpoint(name=hosting.endpoint_name("flight_delays"), auth_mode="key")
    client.online_endpoints.begin_create_or_update(endpoint).result()
    missing = look(cloud.settings, "azureml monitors")
    client.online_endpoints.begin_delete(str(endpoint.name)).result()
    assert hosting.monitor_name("flight_delays") in str(missing.reason)
    assert_failed(missing, "Materialise endpoints/flight_delays")


def test_a_machine_that_the_region_does_not_have_fails(cloud: Loopback) -> None:
    settings = changed(cloud.settings, azureml_instance_type="Standard_Nothing")
    assert_failed(look(settings, "azureml serving quota"), "ML_PLATFORM_AZUREML_INSTANCE_TYPE", "westeurope")


@pytest.mark.parametrize("what", ["training", "serving"])
def test_a_quota_that_may_not_be_read_is_skipped(cloud: Loopback, what: str) -> None:
    cloud.arm.fault("forbidden", path="/usages$", count=9)
    result = look(cloud.settings, f"azureml {what} quota")
    assert result.status == "skipped" and "Reader on the subscription" in str(result.reason), result


def test_mlflow_on_the_workspace_is_read_and_written(cloud: Loopback) -> None:
    result = look(cloud.settings, "mlflow")
    assert result.status == "ok", result


@pytest.mark.parametrize(("kind", "said"), [("forbidden", "AzureML Data Scientist"), ("expired", "identity")])
def test_mlflow_on_the_workspace_that_refuses_is_told(cloud: Loopback, kind: str, said: str) -> None:
    cloud.arm.fault(kind, path="/mlflow/", count=99)
    assert_failed(look(cloud.settings, "mlflow"), said)


def test_endpoints_that_get_no_password_of_a_redis_are_told(cloud: Loopback) -> None:
    variable, redis = "ML_PLATFORM_AZUREML_ONLINE_STORE_SECRET", {"online_store_password": "c4n4ry"}
    plain = changed(cloud.settings, online_store_uri="redis://127.0.0.1:1/0", **redis)
    assert_failed(look(plain, "azureml store secret"), variable, "Key Vault")
    reference = "${{azureml://connections/online-store/credentials/password}}"
    for other in ({"online_store_uri": "rediss://127.0.0.1:1/0"}, {"azureml_online_store_secret": reference}):
        assert look(changed(plain, **other), "azureml store secret").status == "skipped"
