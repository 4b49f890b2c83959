"""A deployment in the loopback cloud: everything that Azure's has, and the environment that says where it is."""

import secrets
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from ml_platform_tests.emulators.databricks.started import Databricks, databricks
from ml_platform_tests.emulators.entering import become, enter
from ml_platform_tests.emulators.lakes import Storage, loopback_storage
from ml_platform_tests.emulators.postgres import Postgres, postgres
from ml_platform_tests.emulators.process import Cloud, Emulator, sdk_environment, started
from ml_platform_tests.emulators.public_names import public_names
from ml_platform_tests.emulators.redis_tls import TlsRedis, redis_with_tls
from ml_platform_tests.loopback_cloud import COMPUTE, SCORING, TRAINING, WORKSPACE, tracking_uri

SCOPE_SECRET = "{{secrets/ml-platform/online-store-password}}"
PLANTED = secrets.token_urlsafe(18)
"""In the environment of the platform, where nothing may show it."""
CLUSTER = {
    "spark_version": "17.3.x-scala2.13",
    "node_type_id": "Standard_D4ds_v5",
    "num_workers": 2,
    "data_security_mode": "SINGLE_USER",
    "spark_env_vars": {"ML_PLATFORM_ONLINE_STORE_PASSWORD": SCOPE_SECRET},
}


@dataclass(frozen=True)
class Deployment:
    """The emulators and the folder of what the platform keeps on its own machine."""

    home: Path
    arm: Emulator
    spark: Databricks
    storage: Storage
    redis: TlsRedis
    postgres: Postgres
    names: Mapping[str, str]
    """The variables by which public names lead into the loopback."""
    lake: str

    @property
    def emulators(self) -> list[Emulator]:
        """Those that record what they are asked."""
        return [self.arm, self.spark.emulator, self.storage.front]

    def secrets(self) -> dict[str, str]:
        """What must stand in nothing that is written, by what it is."""
        cloud = self.arm.cloud
        return {
            "account key": self.storage.azurite.key,
            "secret of identities": cloud.secret,
            "keys of endpoints": cloud.key,
            "Redis": self.redis.password,
            "PostgreSQL": self.postgres.password,
            "planted": PLANTED,
        }

    def environment(self) -> dict[str, str]:
        """Of the platform's processes: its settings, and what the SDKs read. The identity holds no key."""
        storage = self.storage.environment("identity")
        sdks = {**storage, **self.names, **self.spark.environment(), **sdk_environment(self.arm)}
        return {**sdks, **self._settings(), **self._dagster(), "SOMEBODYS_PASSWORD": PLANTED}

    def _settings(self) -> dict[str, str]:
        told = {
            "HOME": str(self.home),
            "LAKE_URI": self.lake,
            "MLFLOW_TRACKING_URI": tracking_uri(self.arm),
            "MLFLOW_UI": f"https://ml.azure.com/experiments?wsid={WORKSPACE}",
            "ONLINE_STORE_URI": self.redis.uri,
            "ONLINE_STORE_PASSWORD": self.redis.password,
            "DATABRICKS_HOST": self.spark.emulator.address,
            "DATABRICKS_VOLUME": self.spark.volume,
            "DATABRICKS_COMPUTE": str(self.home / "cluster.yaml"),
            "AZUREML_WORKSPACE": WORKSPACE,
            "AZUREML_COMPUTE": COMPUTE,
            "AZUREML_DATASTORE": "lake",
            "AZUREML_TRAINING_ENVIRONMENT": f"azureml:{TRAINING}:1",
            "AZUREML_SCORING_ENVIRONMENT": f"azureml:{SCORING}:1",
            "CODE_REVISION": "test",
            "REPLAY_CLOCK": "true",
            "ALERT_URLS": f"json://ops:{PLANTED}@127.0.0.1:1/told",
        }
        return {f"ML_PLATFORM_{name}": value for name, value in told.items()}

    def _dagster(self) -> dict[str, str]:
        return {
            "DAGSTER_HOME": str(self.home / "dagster"),
            "DAGSTER_COMPUTE_LOGS": str(self.home / "compute-logs"),
            "DAGSTER_PG_HOST": "127.0.0.1",
            "DAGSTER_PG_PORT": str(self.postgres.port),
            "DAGSTER_PG_USERNAME": self.postgres.user,
            "DAGSTER_PG_PASSWORD": self.postgres.password,
            "DAGSTER_PG_DB": self.postgres.database,
        }


@contextmanager
def deployment(folder: Path) -> Iterator[Deployment]:
    """Start the cloud and prepare what a deployment of Azure has before the platform comes."""
    cloud, home = Cloud(folder), folder / "home"
    with ExitStack() as stack:
        storage = stack.enter_context(loopback_storage(cloud))
        lake, _ = storage.lake("lake"), storage.lake("logs")
        redis = stack.enter_context(redis_with_tls(cloud))
        arm = stack.enter_context(started(cloud, "arm", environment=storage.environment("key")))
        spark = stack.enter_context(databricks(cloud, storage.environment("key")))
        spark.emulator._control("POST", "secrets", {SCOPE_SECRET: redis.password})
        server = stack.enter_context(postgres(cloud.certificate))
        port = int(storage.front.address.rpartition(":")[2])
        names = stack.enter_context(public_names({f"{storage.azurite.account}.blob.core.windows.net": port}))
        home.mkdir()
        (home / "cluster.yaml").write_text(yaml.safe_dump(CLUSTER))
        yield Deployment(home, arm, spark, storage, redis, server, names, lake)


@contextmanager
def entered(cloud: Deployment) -> Iterator[None]:
    """This process, and those that it starts, are the platform's; no other cloud and no other credential is there."""
    with pytest.MonkeyPatch.context() as patch:
        become(patch, cloud.environment())
        enter(cloud.arm, patch)
        yield
