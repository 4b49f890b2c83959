"""Lake tables become the feature table of a product."""

from collections.abc import Sequence
from pathlib import Path

import dagster as dg

from dbx_jobs.contract import Expectation, FeaturesRequest, TableReport, from_dict
from ml_platform.core import keys
from ml_platform.core.product import ProductSpec, SourceSpec
from ml_platform.errors import SpecError
from ml_platform.gateways.jobs import Jobs, Program
from ml_platform.gateways.lake import Lake
from ml_platform.stages.conditions import follow
from ml_platform.stages.partitions import daily, days_of
from ml_platform.stages.roles import sources_of
from ml_platform.stages.table_asset import Events, check_specs, publish
from ml_platform.stages.upstream import Inputs, Upstream


def build(product: ProductSpec, expectations: Sequence[Expectation], folder: Path) -> list[dg.AssetsDefinition]:
    """The table `features/<product>`; a SQL transform is read from `folder`, the product's own."""
    key = dg.AssetKey(keys.features(product.name))
    transform = _transform(product.features.transform, folder)
    inputs = reads(product)
    spec = dg.AssetSpec(
        key,
        deps=inputs.deps,
        automation_condition=follow(inputs),
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
        read = inputs.require(context.instance, context.partition_keys)
        request = FeaturesRequest(
            product=product.name,
            transform=transform,
            sources=sources_of(product, lake),
            table_uri=lake.table(keys.features(product.name)),
            days=days,
            primary_key=product.features.primary_key,
            event_time=product.features.event_time,
            look_back_days=product.features.look_back_days,
            expectations=list(expectations),
        )
        report = from_dict(TableReport, jobs.run(context, Program.BUILD_FEATURES, request))
        versions = {f"lake/{name} version": table.version for name, table in request.sources.items()}
        yield from publish(context, key, report, read, {p.partition or "": versions for p in report.partitions})

    return [build_features]


def reads(product: ProductSpec) -> Inputs:
    """What the feature table reads: the look-back of each daily source, and the snapshots."""
    return Inputs(product, [_read(product, name, source) for name, source in product.sources.items()])


def _transform(declared: str, folder: Path) -> str:
    if not declared.endswith(".sql"):
        return f"python:{declared}"
    path = folder / declared
    if not path.is_file():
        raise SpecError(f"features.transform: there is no file {path}; write the query there or name a Python module")
    return f"sql:{path.read_text()}"


def _read(product: ProductSpec, name: str, source: SourceSpec) -> Upstream:
    if source.partitioning == "daily":
        return Upstream(keys.lake(name), first=-product.features.look_back_days)
    return Upstream(keys.lake(name), daily=False)
