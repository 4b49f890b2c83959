"""Which cloud this process is in: what the environment says, and what the SDKs remember of another."""

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import pytest

from ml_platform_tests.emulators.process import CLOUD_NAME, Emulator, sdk_environment

SPECS = "ML_PLATFORM_SPECS"
FOREIGN = (
    *("AZURE_", "AZUREML_", "ARM_", "DATABRICKS_", "IDENTITY_", "MSI_"),
    *("MLFLOW_", "ML_PLATFORM_", "DAGSTER_"),
)


def foreign() -> tuple[str, ...]:
    """The variables of this process that would lead to another cloud or home, or that a library takes for a login."""
    return tuple(name for name in os.environ if name.startswith(FOREIGN) and name != SPECS)


def alone(variables: Mapping[str, str]) -> dict[str, str]:
    """The environment of this process with these variables in the place of foreign ones."""
    left = foreign()
    return {name: value for name, value in os.environ.items() if name not in left} | dict(variables)


def become(patch: pytest.MonkeyPatch, variables: Mapping[str, str]) -> None:
    """Let this process, and those that it starts, have these variables in the place of foreign ones."""
    for name in foreign():
        patch.delenv(name)
    add(patch, variables)


def add(patch: pytest.MonkeyPatch, variables: Mapping[str, str]) -> None:
    """Let them have these variables too."""
    for name, value in variables.items():
        patch.setenv(name, value)


@contextmanager
def environ(variables: Mapping[str, str]) -> Iterator[None]:
    """See `become`, meanwhile."""
    with pytest.MonkeyPatch.context() as patch:
        become(patch, variables)
        yield


def enter(arm: Emulator, patch: pytest.MonkeyPatch) -> None:
    """Let the SDKs of this process reach an emulator of Resource Manager, whichever they reached before."""
    add(patch, sdk_environment(arm))
    forget(patch)


def forget(patch: pytest.MonkeyPatch) -> None:
    """Have the SDKs ask the cloud of the environment for its metadata again."""
    if azure_ai_ml := sys.modules.get("azure.ai.ml._azure_environments"):
        azure_ai_ml._environments.pop(CLOUD_NAME, None)
    if azureml_mlflow := sys.modules.get("azureml.mlflow._common._cloud.cloud"):  # from when it is imported
        patch.setattr(azureml_mlflow, "KNOWN_CLOUDS", azureml_mlflow.get_known_clouds())
