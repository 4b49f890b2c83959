"""Lake tables become the feature table of a product."""

from collections.abc import Sequence
from datetime import date, timedelta
from pathlib import Path

import dagster as dg

from dbx_jobs.contract import Days, Expectation, FeaturesRequest, TableInput, TableReport, from_dict
from ml_platform.core import keys
from ml_platform.core.product import ProductSpec
from ml_platform.errors import SpecError
from ml_platform.gateways.jobs import Jobs, Program
from ml_platform.gateways.lake import Lake
from ml_platform.stages.partitions import daily, day_keys, days_of, look_back
from ml_platform.stages.table_asset import Events, check_specs, publish
from ml_platform.stages.upstream_gate import require_partitions, require_table


def build(product: ProductSpec, expectations: Sequence[Expectation], folder: Path) -> list[dg.AssetsDefinition]:
    """The table `features/<product>`; a SQL transform is read from `folder`, the product's own."""
    key = dg.AssetKey(keys.features(product.name))
    transform = _transform(product.features.transform, folder)
    mapping = look_back(product.features.look_back_days)
    spec = dg.AssetSpec(
        key,
        deps=[
            dg.AssetDep(
                dg.AssetKey(keys.lake(name)), partition_mapping=mapping if source.partitioning == "daily" else None
            )
            for name, source in product.sources.items()
        ],
        description=product.features.description,
        group_name="features",
        kinds={"deltalake", "spark"},
        owners=product.owners,
        tags={"product": product.name},
        partitions_def=daily(product),
    )

    @dg.multi_asset(
        name=f"features_{product.name}",
        specs=[spec],
        check_specs=check_specs(key, expectations),
        backfill_policy=dg.BackfillPolicy.single_run(),
        pool=f"table_features_{product.name}",
    )
    def build_features(
        context: dg.AssetExecutionContext, jobs: dg.ResourceParam[Jobs], lake: dg.ResourceParam[Lake]
    ) -> Events:
        days = days_of(context)
        _require_sources(context.instance, product, days)
        request = FeaturesRequest(
            product=product.name,
            transform=transform,
            sources={
                name: TableInput(lake.table(keys.lake(name)), lake.version(keys.lake(name)), s.partitioning == "daily")
                for name, s in product.sources.items()
            },
            table_uri=lake.table(keys.features(product.name)),
            days=days,
            primary_key=product.features.primary_key,
            event_time=product.features.event_time,
            look_back_days=product.features.look_back_days,
            expectations=list(expectations),
        )
        report = from_dict(TableReport, jobs.run(context, Program.BUILD_FEATURES, request))
        inputs = {f"lake/{name} version": table.version for name, table in request.sources.items()}
        yield from publish(context, key, report, {p.partition or "": inputs for p in report.partitions})

    return [build_features]


def _transform(declared: str, folder: Path) -> str:
    if not declared.endswith(".sql"):
        return f"python:{declared}"
    path = folder / declared
    if not path.is_file():
        raise SpecError(f"features.transform: there is no file {path}; write the query there or name a Python module")
    return f"sql:{path.read_text()}"


def _require_sources(instance: dg.DagsterInstance, product: ProductSpec, days: Days) -> None:
    first = date.fromisoformat(days.start) - timedelta(days=product.features.look_back_days)
    read = day_keys(product, first, date.fromisoformat(days.end))
    for name, source in product.sources.items():
        key = dg.AssetKey(keys.lake(name))
        if source.partitioning == "daily":
            require_partitions(instance, key, read)
        else:
            require_table(instance, key)
