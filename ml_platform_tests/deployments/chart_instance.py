"""The dagster.yaml that the official chart writes from its values, and what Dagster itself says of it.

After helm/dagster/templates/configmap-instance.yaml and what it includes.
"""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

Values = Mapping[str, Any]


def instance(values: Values) -> dict[str, Any]:
    """What the chart writes."""
    daemon, storage = values["dagsterDaemon"], {"config": _postgres(values)}
    coordinator = daemon["runCoordinator"]
    return {
        "scheduler": {"module": "dagster._core.scheduler", "class": "DagsterDaemonScheduler"},
        "schedule_storage": {
            "module": "dagster_postgres.schedule_storage",
            "class": "PostgresScheduleStorage",
            **storage,
        },
        "run_storage": {"module": "dagster_postgres.run_storage", "class": "PostgresRunStorage", **storage},
        "event_log_storage": {"module": "dagster_postgres.event_log", "class": "PostgresEventLogStorage", **storage},
        "run_launcher": {"module": "dagster_k8s", "class": values["runLauncher"]["type"], "config": launcher(values)},
        "run_coordinator": {
            "module": "dagster._core.run_coordinator",
            "class": coordinator["type"],
            "config": _snake(coordinator["config"]["queuedRunCoordinator"]),
        },
        "compute_logs": {
            "module": "dagster_azure.blob.compute_log_manager",
            "class": values["computeLogManager"]["type"],
            "config": _snake(values["computeLogManager"]["config"]["azureBlobComputeLogManager"], deep=False),
        },
        "run_monitoring": _snake(daemon["runMonitoring"]),
        "run_retries": _snake(daemon["runRetries"]),
        "sensors": _snake(daemon["sensors"]),
        "schedules": _snake(daemon["schedules"]),
        "concurrency": _snake({key: value for key, value in values["concurrency"].items() if key != "enabled"}),
        "telemetry": values["telemetry"],
        "retention": _snake({key: value for key, value in values["retention"].items() if key != "enabled"}),
    }


def launcher(values: Values) -> dict[str, Any]:
    """The configuration of the run launcher."""
    given = values["runLauncher"]["config"]["k8sRunLauncher"]
    return {
        **_snake(given, deep=False),
        "job_namespace": "dagster",
        "service_account_name": values["serviceAccount"]["name"],
        "dagster_home": values["global"]["dagsterHome"],
        "instance_config_map": "dagster-instance",
        "env_config_maps": [each["name"] for each in given["envConfigMaps"]],
        "env_secrets": [each["name"] for each in given["envSecrets"]],
        "run_k8s_config": _snake(given["runK8sConfig"], deep=False),
    }


def problems(deployments: Path) -> Iterator[str]:
    """What is wrong with each dagster.yaml that stands in a file of its own."""
    for path in sorted(deployments.glob("*/dagster.yaml")):
        for problem in refused(yaml.safe_load(path.read_text())):
            yield f"{path.relative_to(deployments)}: {problem}"


def refused(config: Mapping[str, Any]) -> Iterator[str]:
    """Each way in which a dagster.yaml is not one, by the configuration types of what it names."""
    from dagster._config import resolve_to_config_type, validate_config
    from dagster._core.instance.config import dagster_instance_config_schema
    from dagster._serdes import ConfigurableClassData

    whole = validate_config(resolve_to_config_type(dagster_instance_config_schema()), config)
    yield from (error.message for error in whole.errors or [])
    for name, part in config.items():
        if isinstance(part, Mapping) and {"module", "class"} <= part.keys():
            named = ConfigurableClassData(part["module"], part["class"], "")
            found = _class(named)
            if found is None:
                yield f"{name}: there is no {part['class']} in {part['module']}"
                continue
            done = validate_config(resolve_to_config_type(found.config_type()), part.get("config", {}))
            yield from (f"{name}: {error.message}" for error in done.errors or [])


def _class(named: Any) -> Any:
    from importlib import import_module

    try:
        return getattr(import_module(named.module_name), named.class_name, None)
    except ModuleNotFoundError:
        return None


def _postgres(values: Values) -> dict[str, Any]:
    given = values["postgresql"]
    # The chart writes the value without quotes.
    username = yaml.safe_load(given["postgresqlUsername"])
    database = {
        "username": username,
        "hostname": given["postgresqlHost"],
        "db_name": given["postgresqlDatabase"],
        "params": given["postgresqlParams"],
        "scheme": given["postgresqlScheme"],
    }
    scope = {"scope": given["authProvider"]["azureScope"]}
    return {"postgres_db": database, "auth_provider": {given["authProvider"]["type"]: scope}}


def _snake(value: Any, deep: bool = True) -> Any:
    """Keys as Dagster writes them; with `deep` those below as well."""
    if not isinstance(value, Mapping):
        return value
    return {re.sub(r"(?<!^)(?=[A-Z])", "_", k).lower(): _snake(v) if deep else v for k, v in value.items()}
