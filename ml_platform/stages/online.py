"""The newest feature values by key go to the online store, from which the endpoint completes requests."""

from collections.abc import Iterator
from datetime import datetime
from zoneinfo import ZoneInfo

import dagster as dg

from dbx_jobs.contract import from_dict
from dbx_jobs.online_contract import OnlineReport, OnlineRequest
from ml_platform.core import keys
from ml_platform.core.product import OnlineSpec, ProductSpec
from ml_platform.errors import GateError
from ml_platform.gateways.jobs import Jobs, Program
from ml_platform.gateways.lake import Lake
from ml_platform.settings import Settings
from ml_platform.stages.attempts import WHOLE, Attempt, Records, record
from ml_platform.stages.conditions import InputsChanged, NothingAsked
from ml_platform.stages.roles import online_table
from ml_platform.stages.upstream import Inputs, Look


class AsOf(dg.Config):
    """The instant of which the store is to tell."""

    as_of: str = ""
    """ISO 8601 with its offset; empty: the last one of which all daily sources tell."""


def build(product: ProductSpec, inputs: Inputs) -> list[dg.AssetsDefinition]:
    """The asset `features/<product>_online`, where the product declares it; it reads what the feature table does."""
    online = product.features.online
    return [_online_features(product, online, inputs)] if online else []


def _online_features(product: ProductSpec, online: OnlineSpec, inputs: Inputs) -> dg.AssetsDefinition:
    condition = (
        InputsChanged(lambda records: _state(inputs, records))
        & ~dg.AutomationCondition.in_progress()
        & ~dg.AutomationCondition.any_deps_in_progress()
        & NothingAsked()
    )

    @dg.asset(
        key=dg.AssetKey(keys.online_features(product.name)),
        deps=[dg.AssetDep(upstream.key, partition_mapping=dg.AllPartitionMapping()) for upstream in inputs.upstream],
        description=online.description,
        group_name="features",
        kinds={"spark"},
        owners=product.owners,
        tags={"product": product.name},
        automation_condition=condition,
        pool=f"online_{product.name}",
    )
    def online_features(
        context: dg.AssetExecutionContext,
        config: AsOf,
        jobs: dg.ResourceParam[Jobs],
        lake: dg.ResourceParam[Lake],
        settings: dg.ResourceParam[Settings],
    ) -> Iterator[dg.MaterializeResult]:
        until = _day_of(config.as_of, product) or _newest(inputs.look(Records(context.instance)))
        if until is None:
            raise GateError(
                f"no day has all that {context.asset_key.to_user_string()} reads: materialise the lake first"
            )
        digest = inputs.require(context.instance, [until])[until]
        request = OnlineRequest(
            table=online_table(product, online, lake),
            store_uri=settings.online_store_uri,
            event_times={name: s.event_time.column for name, s in product.daily_sources.items() if s.event_time},
            until=until,
            as_of=config.as_of or None,
        )
        report = from_dict(OnlineReport, jobs.run(context, Program.ONLINE_FEATURES, request))
        counts = {f"rows by {key}": count for key, count in report.rows.items()}
        versions = {f"lake/{name} version": version for name, version in report.source_versions.items()}
        yield dg.MaterializeResult(
            metadata={"as_of": report.as_of, "store": settings.online_store_uri, **counts, **versions},
            data_version=dg.DataVersion(report.fingerprint),
        )
        record(context, context.asset_key, WHOLE, Attempt(_read(until, digest), "passed"), {})

    return online_features


def _state(inputs: Inputs, records: Records) -> dict[str, str]:
    """What there is to tell of, as it stands; nothing while some of it is missing or did not pass."""
    look = inputs.look(records)
    day = _newest(look)
    if day is None or look.missing_for(day) or look.broken_for(day):
        return {}
    return {WHOLE: _read(day, look.digests([day])[day])}


def _newest(look: Look) -> str | None:
    """The last day that every daily table has."""
    held = [set(look.states[u.path].contents) for u in look.inputs.upstream if u.daily]
    return max(set.intersection(*held), default=None)


def _read(day: str, digest: str) -> str:
    return f"{day}:{digest}"


def _day_of(as_of: str, product: ProductSpec) -> str | None:
    if not as_of:
        return None
    try:
        at = datetime.fromisoformat(as_of)
    except ValueError:
        at = None
    if at is None or at.tzinfo is None:
        raise GateError(f"as_of is {as_of!r}: give an instant with its offset, like 2013-04-01T09:00:00-04:00")
    return at.astimezone(ZoneInfo(product.timezone)).date().isoformat()
