"""The body of a one-time run: one Python wheel task, on serverless compute or on a new cluster."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml
from databricks.sdk.service.compute import ClusterSpec, Environment, Library, PythonPyPiLibrary
from databricks.sdk.service.jobs import JobEnvironment, PythonWheelTask, SubmitTask

from ml_platform.errors import SettingsError
from ml_platform.gateways.jobs.databricks.wheel import ENTRY_POINT, PACKAGE, requirements

SERVERLESS = "serverless"
ENVIRONMENT, ENVIRONMENT_VERSION = "dbx_jobs", "4"
"""Python 3.12 with Spark Connect of Databricks Runtime 17."""


def submitted(
    cluster: ClusterSpec | None, wheel: str, module: str, arguments: Mapping[str, str], variables: Mapping[str, str]
) -> dict[str, Any]:
    """The tasks and environments of a run of `module` on a new cluster; without one, on serverless compute.

    What Pipes needs goes along as `arguments` to serverless compute, which has no environment variables of ours, and as
    `variables` to a new cluster.
    """
    key = module.rpartition(".")[2]
    task = PythonWheelTask(entry_point=ENTRY_POINT, package_name=PACKAGE, parameters=[module])
    if cluster:
        cluster = replace(cluster, spark_env_vars={**(cluster.spark_env_vars or {}), **variables})
        libraries = [Library(whl=wheel), *(Library(pypi=PythonPyPiLibrary(each)) for each in requirements())]
        return {"tasks": [SubmitTask(task_key=key, python_wheel_task=task, new_cluster=cluster, libraries=libraries)]}
    task.parameters = [module, *(word for pair in arguments.items() for word in pair)]
    environment = Environment(environment_version=ENVIRONMENT_VERSION, dependencies=[wheel, *requirements()])
    return {
        "tasks": [SubmitTask(task_key=key, python_wheel_task=task, environment_key=ENVIRONMENT)],
        "environments": [JobEnvironment(environment_key=ENVIRONMENT, spec=environment)],
    }


def new_cluster(compute: str) -> ClusterSpec | None:
    """The cluster that a file declares, None for serverless compute.

    Raises SettingsError for a file that declares none, and for keys that the SDK does not know: it would drop them.
    """
    if compute == SERVERLESS:
        return None
    said = f"ML_PLATFORM_DATABRICKS_COMPUTE is {compute!r}"
    try:
        declared = yaml.safe_load(Path(compute).read_text())
    except OSError as error:
        raise SettingsError(f"{said}: give {SERVERLESS!r} or the path of a file with a new_cluster") from error
    except yaml.YAMLError as error:
        raise SettingsError(f"{said}, which is neither YAML nor JSON: {error}") from error
    if not isinstance(declared, dict):
        raise SettingsError(f"{said}, which holds no mapping: write the keys of new_cluster, such as spark_version")
    cluster = ClusterSpec.from_dict(declared)
    if unknown := sorted(set(declared) - set(cluster.as_dict())):
        raise SettingsError(f"{said}, whose keys {unknown} no new_cluster has: correct or remove them")
    return cluster
