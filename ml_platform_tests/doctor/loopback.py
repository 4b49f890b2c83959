"""A loopback cloud in which a doctor finds everything: workspace, environments, lake, identity."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from ml_platform.settings import Settings
from ml_platform_tests.doctor.looked import environment
from ml_platform_tests.emulators.azurite import Azurite, azurite
from ml_platform_tests.emulators.databricks.started import Databricks, databricks
from ml_platform_tests.emulators.entering import foreign, forget
from ml_platform_tests.emulators.process import Cloud, Emulator, sdk_environment, started
from ml_platform_tests.loopback_cloud import COMPUTE, SCORING, TRAINING, WORKSPACE, make_environments, tracking_uri


@dataclass(frozen=True)
class Loopback:
    """The emulators, and the settings of a deployment on them."""

    arm: Emulator
    storage: Azurite
    spark: Databricks
    settings: Settings

    @property
    def variables(self) -> dict[str, str]:
        """By which the SDKs reach it as a managed identity. delta-rs has a name of its own for its endpoint."""
        told = sdk_environment(self.arm)
        return {
            **self.storage.environment(),
            **self.spark.environment(),
            **told,
            "AZURE_MSI_ENDPOINT": told["IDENTITY_ENDPOINT"],
        }

    def capacity(self, **changes: Any) -> None:
        """See emulators/arm/capacity.py."""
        self.arm._control("POST", "capacity", changes)

    def directory(self, **changes: Any) -> None:
        """See emulators/databricks/directory.py."""
        self.spark.emulator._control("POST", "directory", changes)


@contextmanager
def loopback(folder: Path) -> Iterator[Loopback]:
    """Start the emulators and make what a deployment needs; on leaving, fail on what they recorded."""
    cloud = Cloud(folder)
    with ExitStack() as stack:
        storage = stack.enter_context(azurite(cloud, "devstoreaccount1"))
        lake = storage.lake("lake")
        arm = stack.enter_context(started(cloud, "arm", environment=storage.environment()))
        spark = stack.enter_context(databricks(cloud))
        settings = _settings(folder / "home", lake, arm, spark)
        stack.enter_context(environment({}, foreign()))
        made = Loopback(arm, storage, spark, settings)
        stack.enter_context(reached(made))
        make_environments(TRAINING, SCORING)
        yield made


@contextmanager
def reached(cloud: Loopback, variables: Mapping[str, str] = {}, without: tuple[str, ...] = ()) -> Iterator[None]:  # noqa: B006
    """This process reaches the cloud, with `variables` beside its own or `without` some."""
    told = {name: value for name, value in {**cloud.variables, **variables}.items() if name not in without}
    with environment(told, without), pytest.MonkeyPatch.context() as patch:
        forget(patch)
        yield


def _settings(home: Path, lake: str, arm: Emulator, spark: Databricks) -> Settings:
    return Settings(
        home=home,
        lake_uri=lake,
        databricks_host=spark.emulator.address,
        databricks_volume=spark.volume,
        azureml_workspace=WORKSPACE,
        azureml_compute=COMPUTE,
        azureml_training_environment=f"azureml:{TRAINING}:1",
        azureml_scoring_environment=f"azureml:{SCORING}:1",
        azureml_datastore="lake",
        azureml_instance_type="Standard_DS3_v2",
        mlflow_tracking_uri=tracking_uri(arm),
        code_revision="0123abc",
    )
