"""The whole command in the loopback cloud: all is well, then all is wrong; and no secret is ever shown."""

from collections.abc import Iterator

import pytest

from ml_platform_tests.doctor.command import doctor
from ml_platform_tests.doctor.loopback import Loopback
from ml_platform_tests.emulators.redis_tls import TlsRedis, redis_with_tls

pytestmark = pytest.mark.cloud

CHECKS = [
    "products",
    "revision",
    "alerts",
    "disk",
    "lake",
    "lake tables",
    "databricks",
    "databricks volume",
    "databricks compute",
    "databricks jobs",
    "databricks secret",
    "azureml",
    "azureml rights",
    "azureml compute",
    "azureml training quota",
    "azureml training image",
    "azureml scoring image",
    "azureml serving quota",
    "azureml autoscaling",
    "azureml datastore",
    "azureml store secret",
    "azureml monitors",
    "mlflow",
    "online store",
    "dagster home",
    "dagster storage",
    "dagster daemon",
]


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory, shared_cloud: Loopback) -> Iterator[TlsRedis]:
    with redis_with_tls(shared_cloud.arm.cloud) as started:
        yield started


@pytest.fixture
def variables(cloud: Loopback, redis: TlsRedis) -> dict[str, str]:
    """The deployment, by environment alone. Only a canary among its alerts' addresses is no real secret."""
    cloud.spark.keep(online_store_password=redis.password)
    told = cloud.settings.model_dump(exclude={"alert_urls", "online_store_password", "pictures", "replay_clock"})
    deployment = {f"ML_PLATFORM_{name.upper()}": str(value) for name, value in told.items()}
    more = {
        "ML_PLATFORM_ONLINE_STORE_URI": redis.uri,
        "ML_PLATFORM_ONLINE_STORE_PASSWORD": redis.password,
        "ML_PLATFORM_DATABRICKS_ONLINE_STORE_SECRET": "ml-platform/online-store-password",
        "ML_PLATFORM_ALERT_URLS": "json://ops:c4n4ry-alerts@127.0.0.1:1/told",
    }
    return {**cloud.variables, **deployment, **more}


def test_in_a_cloud_that_is_well_everything_is_well(
    cloud: Loopback, redis: TlsRedis, variables: dict[str, str]
) -> None:
    told = doctor(variables, "--json")
    assert told.code == 0, told
    assert list(told.checks) == CHECKS
    assert told.named("skipped") == {
        "azureml autoscaling",
        "databricks compute",
        "azureml store secret",
        "azureml monitors",
        "dagster storage",
        "dagster daemon",
    }
    _assert_no_secret(told.out + told.err, cloud, redis)


def test_in_a_cloud_where_everything_is_wrong_each_failure_is_told_and_no_secret(
    cloud: Loopback, redis: TlsRedis, variables: dict[str, str]
) -> None:
    wrong = {
        "AZURE_STORAGE_ACCOUNT_KEY": "YzRuNHJ5LWtleQ==",
        "AZURE_STORAGE_SAS_TOKEN": "sv=2024-11-04&sig=c4n4rysas%2Fx%3D",
        "IDENTITY_HEADER": "c4n4ry-header",
        "AZURE_CLIENT_SECRET": "c4n4ry-client",
        "DATABRICKS_CLIENT_SECRET": "c4n4ry-databricks",
        "ML_PLATFORM_ONLINE_STORE_PASSWORD": "c4n4ry-redis",
        "ML_PLATFORM_MLFLOW_TRACKING_URI": "http://ops:c4n4ry-mlflow@127.0.0.1:1",
        "ML_PLATFORM_ALERT_URLS": "noservice://c4n4ry-alerts",
    }
    told = doctor({**variables, **wrong}, "--json")
    assert told.code == 1, told
    assert told.named("failed") == {"alerts", "lake", "databricks", "azureml", "mlflow", "online store"}
    lines = doctor({**variables, **wrong})
    for said in (told.out + told.err, lines.out + lines.err):
        _assert_no_secret(said, cloud, redis)
        assert "YzRuNHJ5LWtleQ" not in said
    assert lines.code == 1
    assert lines.out.count("-> ") == 6


def _assert_no_secret(said: str, cloud: Loopback, redis: TlsRedis) -> None:
    for secret in (cloud.storage.key, cloud.arm.cloud.secret, cloud.arm.cloud.key, redis.password, "c4n4ry", "eyJ"):
        assert secret not in said
