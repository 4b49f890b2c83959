"""The real line in a home of its own: real flights, real gateways, the declared product with smaller numbers."""

import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import dagster as dg
from deltalake import DeltaTable

from ml_platform.components.declared import PRODUCTS, declared_product
from ml_platform.components.model_product import ModelProduct
from ml_platform.core import keys
from ml_platform.core.keys import AssetPath
from ml_platform.core.product import ProductSpec, SplitSpec
from ml_platform.gateways.build import Gateways, build_gateways
from ml_platform.replay.requests import replay_days
from ml_platform.runs import materialise
from ml_platform.services import prepare_home
from ml_platform.settings import Settings
from ml_platform.stages.registry_resource import registry_resource
from ml_platform.upstream import SNAPSHOTS, land
from ml_platform_tests.ports import free_port

PRODUCT = "flight_delays"
LANDED = ("2013-01-01", "2013-02-10")
COMPUTED = ("2013-01-01", "2013-02-07")
"""Days in the tables; the landed days after them are for a person to materialise."""
TRAINED_UNTIL = "2013-01-31"
REPLAYED = ("2013-02-01", "2013-02-06")
LAST_FINAL = "2013-02-05"
"""The last day that labels, which mature in a day, have matured for when the tables end with COMPUTED."""
DAILY = (keys.lake("flights"), keys.lake("weather"), keys.features(PRODUCT))
MODEL = (keys.candidate(PRODUCT), keys.champion(PRODUCT), keys.endpoint(PRODUCT))
MONITORING = tuple(
    keys.monitoring(PRODUCT, table)
    for table in ("inference_log", "ground_truth", "drift", "performance", "online_features")
)
REVISION = "test"


@dataclass(frozen=True)
class Line:
    """One home and the graph on it."""

    settings: Settings
    instance: dg.DagsterInstance
    product: ProductSpec
    definitions: dg.Definitions
    gateways: Gateways

    def run(self) -> None:
        """Everything from the files' landing to monitoring."""
        first, last = (date.fromisoformat(day) for day in LANDED)
        land(self.settings.lake_uri, first, last)
        self.materialise([keys.lake(source) for source in SNAPSHOTS])
        self.materialise(DAILY, COMPUTED)
        window = {"__".join(keys.candidate(PRODUCT)): {"config": {"end": TRAINED_UNTIL}}}
        self.materialise(MODEL, config=window)
        self.replay()
        self.materialise(MONITORING, REPLAYED)

    def replay(self) -> int:
        """Ask the live endpoint about the replayed days; the number of requests."""
        return replay_days(self.gateways.lake, self.gateways.endpoints, self.product, *REPLAYED)

    def materialise(
        self,
        paths: Sequence[AssetPath],
        days: tuple[str, str] | None = None,
        config: Mapping[str, Any] | None = None,
    ) -> None:
        """One run that must succeed, its checks included."""
        materialise(self.instance, self.definitions, paths, lambda _step, _event: None, days, config)

    def read(self, path: AssetPath, days: tuple[str, str] | None = None) -> Any:
        """The rows of a table as a frame, in the order of all their values: equal content gives equal frames."""
        frame: Any = DeltaTable(self.gateways.lake.table(path)).to_pandas()
        if days:
            first, last = (date.fromisoformat(day) for day in days)
            frame = frame[frame["day"].between(first, last)]
        return frame.sort_values(list(frame.columns)).reset_index(drop=True)

    def tables(self) -> dict[str, int]:
        """The Delta version of each table that an asset writes."""
        root = self.settings.home / "lake"
        logs = [log for group in ("lake", "features", "monitoring") for log in (root / group).rglob("_delta_log")]
        return {str(log.parent.relative_to(root)): DeltaTable(str(log.parent)).version() for log in logs}

    def metadata(self, path: AssetPath) -> Mapping[str, dg.MetadataValue]:
        """What the latest materialisation of an asset shows."""
        event = self.instance.get_latest_materialization_event(dg.AssetKey(path))
        assert event and event.asset_materialization, f"{path} was never materialised"
        return event.asset_materialization.metadata

    def data_versions(self, path: AssetPath) -> dict[str, str]:
        """The newest data version that Dagster recorded, by partition."""
        records = self.instance.fetch_materializations(dg.AssetKey(path), limit=1000).records
        versions: dict[str, str] = {}
        for record in records:
            assert record.partition_key and record.asset_materialization and record.asset_materialization.tags
            versions.setdefault(record.partition_key, record.asset_materialization.tags["dagster/data_version"])
        return versions


@contextmanager
def line_in(home: Path) -> Iterator[Line]:
    """The graph on a prepared home; the endpoint is gone at the end."""
    mlflow_ui = f"http://127.0.0.1:{free_port()}"
    chosen = Settings(home=home, mlflow_ui=mlflow_ui, replay_clock=True, code_revision=REVISION)
    with environment_of(chosen):
        prepare_home(chosen)
    product, gateways = smaller(declared_product(PRODUCT)), build_gateways(chosen)
    built = ModelProduct(product).build_defs(SimpleNamespace(path=PRODUCTS / PRODUCT))  # type: ignore[arg-type]
    resources = {**vars(gateways), "settings": chosen, "registry": registry_resource(chosen)}
    definitions = dg.Definitions.merge(built, dg.Definitions(resources=resources, executor=dg.in_process_executor))
    with dg.DagsterInstance.from_config(str(chosen.dagster_home)) as instance:
        try:
            yield Line(chosen, instance, product, definitions, gateways)
        finally:
            gateways.endpoints.delete(PRODUCT)


@contextmanager
def copy_of(line: Line, home: Path) -> Iterator[Line]:
    """The line as it stands, without its endpoint, in another home that a test may spoil."""
    shutil.copytree(line.settings.home, home, ignore=shutil.ignore_patterns("endpoints"))
    with line_in(home) as copied:
        yield copied


@contextmanager
def environment_of(settings: Settings) -> Iterator[None]:
    """The environment in which other processes find this home."""
    names = {
        "DAGSTER_HOME": settings.dagster_home,
        "ML_PLATFORM_HOME": settings.home,
        "ML_PLATFORM_MLFLOW_UI": settings.mlflow_ui,
        "ML_PLATFORM_REPLAY_CLOCK": str(settings.replay_clock).lower(),
        "ML_PLATFORM_CODE_REVISION": settings.code_revision,
    }
    with patch.dict(os.environ, {name: str(value) for name, value in names.items()}):
        yield


def smaller(product: ProductSpec) -> ProductSpec:
    """The product with a search and a holdout that January has room for."""
    model = product.model
    changes = {
        "trials": 2,
        "parameters": model.parameters | {"n_estimators": 80},
        "split": SplitSpec(validation_days=5, holdout_days=7),
        "gate": model.gate.model_copy(update={"floors": {"roc_auc": 0.6}, "ceilings": {"log_loss": 0.7}}),
    }
    # A model of one month misses the declared floor on single days.
    performance = product.monitors.performance.model_copy(update={"floors": {"roc_auc": 0.5}})
    monitors = product.monitors.model_copy(update={"performance": performance})
    return product.model_copy(update={"model": model.model_copy(update=changes), "monitors": monitors})
