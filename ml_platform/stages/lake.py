"""Landed files become Delta tables: one asset a source."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import dagster as dg

from dbx_jobs.contract import Column, Days, Expectation, IngestRequest, TableReport, from_dict
from ml_platform.core import keys
from ml_platform.core.product import ProductSpec, SourceSpec
from ml_platform.gateways.jobs import Jobs, Program
from ml_platform.gateways.lake import NOTHING, Lake
from ml_platform.stages.attempts import WHOLE
from ml_platform.stages.partitions import daily, days_of
from ml_platform.stages.roles import event_time_of
from ml_platform.stages.table_asset import Events, check_specs, landed_checks, landed_specs, publish


def build(product: ProductSpec, expectations: Mapping[str, Sequence[Expectation]]) -> list[dg.AssetsDefinition]:
    """The tables `lake/<source>` of a product."""
    return [
        _source_table(product, name, source, expectations.get(f"lake/{name}", ()))
        for name, source in product.sources.items()
    ]


def _source_table(
    product: ProductSpec, name: str, source: SourceSpec, expectations: Sequence[Expectation]
) -> dg.AssetsDefinition:
    key = dg.AssetKey(keys.lake(name))
    is_daily = source.partitioning == "daily"
    spec = dg.AssetSpec(
        key,
        description=source.description,
        group_name="lake",
        kinds={"deltalake", "spark", source.format},
        owners=product.owners,
        tags={"product": product.name, "partitioning": source.partitioning},
        partitions_def=daily(product) if is_daily else None,
    )

    @dg.multi_asset(
        name=f"lake_{name}",
        specs=[spec],
        check_specs=[*check_specs(key, expectations), *landed_specs(key, source.new_within_days)],
        backfill_policy=dg.BackfillPolicy.single_run() if is_daily else None,
        pool=f"table_lake_{name}",
    )
    def ingest(context: dg.AssetExecutionContext, jobs: dg.ResourceParam[Jobs], lake: dg.ResourceParam[Lake]) -> Events:
        days = days_of(context) if is_daily else None
        # Listed before the job reads: a file that changes in between is then seen as a change.
        landed = lake.landed(name, days, is_daily)
        read = {
            partition: landed.get(partition, NOTHING) for partition in (context.partition_keys if days else [WHOLE])
        }
        request = ingest_request(lake, name, source, days, expectations)
        report = from_dict(TableReport, jobs.run(context, Program.INGEST, request))
        landed_as = [check for partition in report.partitions for check in landed_checks(partition)]
        report = replace(report, checks=[*report.checks, *landed_as])
        yield from publish(context, key, report, read, quarantine=request.quarantine_uri)

    return ingest


def ingest_request(
    lake: Lake, name: str, source: SourceSpec, days: Days | None, expectations: Sequence[Expectation]
) -> IngestRequest:
    """What the ingest of the source `name` is asked; `days` is None for a snapshot."""
    event_time = source.event_time
    return IngestRequest(
        source=name,
        columns=[Column(c, s.type, s.nullable, s.description) for c, s in source.columns.items()],
        key=source.key,
        landing_uri=lake.landing(name),
        table_uri=lake.table(keys.lake(name)),
        quarantine_uri=lake.quarantine(name),
        days=days,
        event_time=event_time_of(source),
        partition_date=event_time.date if event_time else [],
        expectations=list(expectations),
        new_within_days=source.new_within_days,
    )
