"""Settings to gateways: the only place where it is chosen which implementation serves."""

from dataclasses import dataclass
from datetime import timedelta

from ml_platform.gateways.alerts import Alerts
from ml_platform.gateways.endpoints import AzureEndpoints, Endpoints, Hosting, LocalEndpoints
from ml_platform.gateways.jobs import AzureMLJobs, DatabricksJobs, Jobs, JobsByProgram, SubprocessJobs
from ml_platform.gateways.lake import Lake
from ml_platform.gateways.monitors import AzureMonitors, Monitors, NoMonitors
from ml_platform.gateways.workspace import check_workspace
from ml_platform.settings import Settings


@dataclass(frozen=True)
class Gateways:
    """The outside world of one deployment. The registry is a Dagster resource, since it lives inside MLflow's."""

    lake: Lake
    jobs: Jobs
    endpoints: Endpoints
    monitors: Monitors
    alerts: Alerts


def build_gateways(settings: Settings) -> Gateways:
    """The gateways of the deployment that `settings` describe."""
    lake = Lake(settings.lake_uri)
    return Gateways(
        lake=lake,
        jobs=JobsByProgram(spark=_spark_jobs(settings), others=_training_jobs(settings)),
        endpoints=_endpoints(settings, lake),
        monitors=_monitors(settings, lake),
        alerts=Alerts(settings.home / "alerts.db", [url.get_secret_value() for url in settings.alert_urls]),
    )


def _spark_jobs(settings: Settings) -> Jobs:
    if not settings.databricks_host:
        return SubprocessJobs()
    timeout = timedelta(minutes=settings.databricks_timeout_minutes)
    return DatabricksJobs(
        settings.databricks_host,
        settings.databricks_volume,
        settings.databricks_compute,
        settings.databricks_online_store_secret,
        timeout=timeout,
    )


def _training_jobs(settings: Settings) -> Jobs:
    if not settings.azureml_workspace:
        return SubprocessJobs()
    return AzureMLJobs(
        check_workspace(settings.azureml_workspace),
        settings.lake_uri,
        settings.mlflow_tracking_uri,
        settings.azureml_compute,
        settings.azureml_training_environment,
        settings.azureml_timeout_minutes,
    )


def _endpoints(settings: Settings, lake: Lake) -> Endpoints:
    if not settings.azureml_workspace:
        return LocalEndpoints(settings.home / "endpoints", lake.inference_log())
    return AzureEndpoints(_hosting(settings), settings.lake_uri, settings.home / "models")


def _monitors(settings: Settings, lake: Lake) -> Monitors:
    if not settings.azureml_workspace:
        return NoMonitors()
    return AzureMonitors(_hosting(settings), lake, settings.azureml_datastore, settings.mlflow_tracking_uri)


def _hosting(settings: Settings) -> Hosting:
    return Hosting(
        check_workspace(settings.azureml_workspace),
        settings.azureml_scoring_environment,
        settings.azureml_instance_type,
        settings.azureml_instances,
        settings.azureml_endpoint_identity,
        settings.azureml_online_store_secret,
    )
