"""The real graph on an ephemeral instance, with jobs that report what a test says."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from ml_platform.components.declared import PRODUCTS, declared_product
from ml_platform.components.model_product import product_definitions
from ml_platform.core.keys import AssetPath
from ml_platform.core.product import ProductSpec
from ml_platform.gateways.build import build_gateways
from ml_platform.gateways.lake import Lake
from ml_platform.settings import Settings
from ml_platform.stages.registry_resource import registry_resource
from ml_platform_tests.graph.reported import ReportedJobs


class Graph:
    """Materialises parts of the product's graph and gives what Dagster recorded."""

    def __init__(
        self, instance: dg.DagsterInstance, home: Path, product: ProductSpec | None = None, **instead: Any
    ) -> None:
        self.instance = instance
        self.settings = Settings(home=home, code_revision="test")
        self.jobs = ReportedJobs()
        resources = {
            **vars(build_gateways(self.settings)),
            "jobs": self.jobs,
            "lake": PinnedLake(self.settings.lake_uri),
        }
        resources |= {"settings": self.settings, "registry": registry_resource(self.settings), **instead}
        built = product_definitions(product or declared_product("flight_delays"), PRODUCTS / "flight_delays")
        self.definitions = dg.Definitions.merge(built, dg.Definitions(resources=resources))

    def materialise(self, key: str, *days: str, config: dict[str, Any] | None = None) -> dg.ExecuteInProcessResult:
        """One run of one asset with its checks; `days` is nothing, one day, or the ends of a range."""
        tags = {}
        if days:
            tags = {"dagster/asset_partition_range_start": days[0], "dagster/asset_partition_range_end": days[-1]}
        return self.definitions.resolve_implicit_global_asset_job_def().execute_in_process(
            instance=self.instance,
            asset_selection=[dg.AssetKey.from_user_string(key)],
            tags=tags,
            run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}, "ops": config or {}},
            raise_on_error=False,
        )

    def error(self, result: dg.ExecuteInProcessResult) -> str:
        """What the failed steps of a run said."""
        errors = [event.step_failure_data.error for event in result.get_step_failure_events()]
        return "; ".join((error.cause or error).message for error in errors if error)


class PinnedLake(Lake):
    """The names of the lake, and a version for every table, without tables."""

    def version(self, key: AssetPath) -> int:
        return 7


@pytest.fixture
def graph(tmp_path: Path) -> Iterator[Graph]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield Graph(instance, tmp_path)
