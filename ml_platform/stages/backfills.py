"""Schedules that make up for what was missed: each night the gaps, each week the last days' files once more."""

from collections.abc import Iterator, Sequence
from datetime import date, timedelta

import dagster as dg

from dbx_jobs.contract import Days
from ml_platform.core import keys
from ml_platform.core.product import ProductSpec
from ml_platform.gateways.lake import Lake
from ml_platform.stages.attempts import Records, contents
from ml_platform.stages.conditions import stale_candidates, stale_partitions
from ml_platform.stages.landing import changes
from ml_platform.stages.partitions import in_range, range_tags, ranges
from ml_platform.stages.underway import underway
from ml_platform.stages.upstream import Inputs


def build(product: ProductSpec, tables: dict[keys.AssetPath, Inputs]) -> list[dg.ScheduleDefinition]:
    """The schedules of a product; `tables` are its daily tables but the sources', with what each reads."""
    return [_fill(product, tables), _restate(product)]


def _fill(product: ProductSpec, tables: dict[keys.AssetPath, Inputs]) -> dg.ScheduleDefinition:
    sources = [keys.lake(name) for name in product.daily_sources]

    @dg.schedule(
        name=f"fill_{product.name}",
        cron_schedule=product.automation.fill,
        execution_timezone=product.timezone,
        target=_assets([*sources, *tables]),
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description="Fills the days of each table that are missing, stale or failed and can be computed: a run a gap.",
        tags={"product": product.name},
    )
    def fill(context: dg.ScheduleEvaluationContext, lake: dg.ResourceParam[Lake]) -> Iterator[dg.RunRequest]:
        busy, records = underway(context.instance), Records(context.instance)
        for path in sources:
            days = source_gaps(records, lake, path) - busy.get(dg.AssetKey(path), set())
            yield from _requests(product, path, days, "fill", context)
        for path, inputs in tables.items():
            days = table_gaps(records, path, inputs) - busy.get(dg.AssetKey(path), set())
            yield from _requests(product, path, days, "fill", context)

    return fill


def _restate(product: ProductSpec) -> dg.ScheduleDefinition:
    sources = [keys.lake(name) for name in product.daily_sources]

    @dg.schedule(
        name=f"restate_{product.name}",
        cron_schedule=product.automation.restate,
        execution_timezone=product.timezone,
        target=_assets(sources),
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description=f"Reads what landed of the last {product.automation.restate_days} days again, for late "
        "corrections: a run a source; what changes is followed downstream.",
        tags={"product": product.name},
    )
    def restate(context: dg.ScheduleEvaluationContext) -> Iterator[dg.RunRequest]:
        days = set(last_days(context.instance, product))
        for path in sources:
            yield from _requests(product, path, days, "restate", context)

    return restate


def source_gaps(records: Records, lake: Lake, path: keys.AssetPath) -> set[str]:
    """The landed days of a source that are missing or stale, failed their checks or were refused."""
    landed, last = lake.landed(path[-1]), records.attempts(dg.AssetKey(path))
    failed = {day for day, attempt in last.items() if attempt.outcome != "passed" and day in landed}
    return set(changes(landed, last)) | failed


def table_gaps(records: Records, path: keys.AssetPath, inputs: Inputs) -> set[str]:
    """The days of a table that are missing, stale or whose run failed, and of which all inputs are there and passed."""
    look = inputs.look(records)
    stale = stale_partitions(records, dg.AssetKey(path), stale_candidates(inputs, records))
    return {day for day in stale if not look.missing_for(day) and not look.broken_for(day)}


def last_days(instance: dg.DagsterInstance, product: ProductSpec) -> list[str]:
    """The last `restate_days` days up to the newest that every daily source has; nothing before there is one."""
    done = [contents(instance, dg.AssetKey(keys.lake(name))) for name in product.daily_sources]
    if not all(done):
        return []
    last = date.fromisoformat(min(max(days) for days in done))
    days = ((last - timedelta(days=n)).isoformat() for n in range(product.automation.restate_days))
    return [day for day in days if in_range(product, day)]


def _requests(
    product: ProductSpec,
    path: keys.AssetPath,
    days: set[str],
    reason: str,
    context: dg.ScheduleEvaluationContext,
) -> Iterator[dg.RunRequest]:
    wanted = {day for day in days if in_range(product, day)}
    for gap in ranges(wanted, product.automation.most_days):
        yield _request(product, path, gap, reason, context)


def _request(
    product: ProductSpec,
    path: keys.AssetPath,
    days: Days,
    reason: str,
    context: dg.ScheduleEvaluationContext,
) -> dg.RunRequest:
    return dg.RunRequest(
        run_key=f"{reason}:{context.scheduled_execution_time.isoformat()}:{'/'.join(path)}:{days.start}:{days.end}",
        asset_selection=[dg.AssetKey(path)],
        tags={
            "ml_platform/product": product.name,
            "ml_platform/reason": f"{reason} {days.start} to {days.end}",
            **range_tags(days),
        },
    )


def _assets(paths: Sequence[keys.AssetPath]) -> dg.AssetSelection:
    return dg.AssetSelection.assets(*(dg.AssetKey(path) for path in paths))
