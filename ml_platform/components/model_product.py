"""The Dagster component of a model product: its YAML schema, and the stages assembled into one graph."""

from dataclasses import dataclass
from pathlib import Path
from typing import cast

import dagster as dg
from pydantic import BaseModel

from ml_platform.components.expectations import load_expectations
from ml_platform.components.scaffolder import ModelProductScaffolder
from ml_platform.core import keys
from ml_platform.core.product import ProductSpec
from ml_platform.stages import (
    azureml_monitor,
    backfills,
    conditions,
    features,
    lake,
    landing,
    monitoring,
    online,
    retraining,
    serving,
    training,
)

EXPECTATIONS_FILE = "expectations.yaml"


@dg.scaffold_with(ModelProductScaffolder)
@dataclass
class ModelProduct(dg.Component):
    """A model product: lake tables, features, model, endpoint and monitoring, from one declaration."""

    product: ProductSpec

    @classmethod
    def get_model_cls(cls) -> type[BaseModel]:
        """The schema of the `attributes` in defs.yaml: the specification itself."""
        return ProductSpec

    @classmethod
    def load(cls, attributes: BaseModel | None, context: dg.ComponentLoadContext) -> "ModelProduct":
        """The component of a parsed declaration."""
        return cls(cast(ProductSpec, attributes))

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        """The product's whole graph. Raises SpecError for an expectation file or a transform that cannot be."""
        return product_definitions(self.product, context.path)


def product_definitions(product: ProductSpec, folder: Path) -> dg.Definitions:
    """The graph of `product`, without resources; its expectation file and SQL are read from `folder`."""
    features_table = f"features/{product.name}"
    tables = {f"lake/{source}" for source in product.sources} | {features_table}
    expectations = load_expectations(folder / EXPECTATIONS_FILE, tables)
    models, gates = training.build(product)
    decision, actor = retraining.build(product)
    tables = {keys.features(product.name): features.reads(product)} | monitoring.reads(product)
    followed = {path: inputs for path, inputs in tables.items() if any(u.followed for u in inputs.upstream)}
    return dg.Definitions(
        assets=[
            *lake.build(product, expectations),
            *features.build(product, expectations.get(features_table, ()), folder),
            *online.build(product, features.reads(product)),
            *models,
            *serving.build(product),
            *monitoring.build(product),
            decision,
        ],
        asset_checks=[*gates, *azureml_monitor.build(product)],
        sensors=[*landing.build(product), conditions.sensor(product), serving.sensor(product), actor],
        schedules=[*backfills.build(product, followed), *azureml_monitor.schedules(product)],
    )
