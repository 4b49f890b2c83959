"""The loopback cloud as a place of roll-outs."""

import os
from pathlib import Path
from typing import Any

from ml_platform.core.product_endpoint import RolloutSpec, WatchSpec
from ml_platform.gateways.endpoints import Endpoints
from ml_platform.gateways.endpoints.azureml import AzureEndpoints
from ml_platform.gateways.endpoints.azureml_deployment import Hosting
from ml_platform_tests.contract.cloud import SCORING_ENVIRONMENT, Loopback
from ml_platform_tests.contract.cloud_world import lines_of
from ml_platform_tests.loopback_cloud import WORKSPACE

LAKE_VARIABLE = "LOOPBACK_LAKE"
"""By which another process of the test finds the lake of a cloud that it is in."""
INSTANCES = 2

# Instances tell what they have counted each second. Of the few requests that a loaded machine answers by then, time and
# mean are judged mildly: equal models must not differ by chance.
QUICK = RolloutSpec(
    shadow=WatchSpec(percent=50, seconds=2.5),
    canary=WatchSpec(percent=10, seconds=5),
    min_requests=30,
    max_latency_ratio=20,
    max_prediction_shift=0.4,
)


def endpoints_in(lake: str, folder: Path) -> Endpoints:
    """The gateway of a process that has the cloud's environment."""
    return AzureEndpoints(Hosting(WORKSPACE, SCORING_ENVIRONMENT, instances=INSTANCES), lake, folder / "cache", 60)


class There:
    """A cloud whose environment this process has."""

    quick, rate, goes_back_within = QUICK, 120.0, 120.0
    workers, slow_width = 1, 1500

    def __init__(self, cloud: Loopback | None = None) -> None:
        self._cloud, self._lake = cloud, cloud.lake if cloud else os.environ[LAKE_VARIABLE]
        os.environ[LAKE_VARIABLE] = self._lake

    def endpoints(self, folder: Path) -> Endpoints:
        """See Place.endpoints."""
        return endpoints_in(self._lake, folder)

    def register(self, model: str, version: str, serving: Path) -> None:
        """See Place.register."""
        assert self._cloud
        self._cloud.register_model(model, version, serving)

    def lines(self, collection: str) -> list[dict[str, Any]]:
        """See Place.lines."""
        assert self._cloud
        return lines_of(self._cloud, collection)
