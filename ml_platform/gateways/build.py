"""Settings to gateways: the only place where it is chosen which implementation serves."""

from dataclasses import dataclass

from ml_platform.gateways.alerts import Alerts
from ml_platform.gateways.endpoints import Endpoints, LocalEndpoints
from ml_platform.gateways.jobs import Jobs, SubprocessJobs
from ml_platform.gateways.lake import Lake
from ml_platform.settings import Settings


@dataclass(frozen=True)
class Gateways:
    """The outside world of one deployment. The registry is a Dagster resource, since it lives inside MLflow's."""

    lake: Lake
    jobs: Jobs
    endpoints: Endpoints
    alerts: Alerts


def build_gateways(settings: Settings) -> Gateways:
    """The gateways of the deployment that `settings` describe."""
    lake = Lake(settings.lake_uri)
    return Gateways(
        lake=lake,
        jobs=SubprocessJobs(),
        endpoints=LocalEndpoints(settings.home / "endpoints", lake.inference_log()),
        alerts=Alerts(settings.home / "alerts.db", [url.get_secret_value() for url in settings.alert_urls]),
    )
