"""Sensors that look at what landed, and at what the endpoint logged, and ask for just the partitions concerned.

They keep no cursor: what lies in the folder now is compared with what the last attempt at each partition read.
"""

from collections.abc import Callable, Mapping
from hashlib import sha256

import dagster as dg

from dbx_jobs.contract import Days
from ml_platform.core import keys
from ml_platform.core.product import ProductSpec
from ml_platform.gateways.lake import NOTHING, Lake
from ml_platform.stages.attempts import WHOLE, Attempt, attempts, last_attempt_id
from ml_platform.stages.partitions import in_range, range_tags, ranges
from ml_platform.stages.underway import underway

MOST_DAYS = 366
"""A tick asks for at most this many days of a source, in as many runs as they have gaps; the next tick goes on."""

DAYS_NAMED = 5

Listing = Callable[[Lake], Mapping[str, str]]


def build(product: ProductSpec) -> list[dg.SensorDefinition]:
    """A sensor for each source, and one for the endpoint's log."""
    sources = [_source(product, name, source.partitioning == "daily") for name, source in product.sources.items()]
    return [*sources, _log(product)]


def _source(product: ProductSpec, name: str, daily: bool) -> dg.SensorDefinition:
    return _sensor(
        product,
        f"landing_{product.name}_{name}",
        keys.lake(name),
        daily,
        lambda lake: lake.landed(name, daily=daily),
        f"Asks for the partitions of lake/{name} whose landed files are new, changed or removed.",
        product.automation.landing_seconds,
    )


def _log(product: ProductSpec) -> dg.SensorDefinition:
    return _sensor(
        product,
        f"logged_{product.name}",
        keys.monitoring(product.name, "inference_log"),
        True,
        lambda lake: lake.logged(product.name, product.timezone),
        "Asks for the days of the inference log for which the endpoint has written more.",
        product.automation.log_seconds,
    )


def _sensor(
    product: ProductSpec,
    name: str,
    path: keys.AssetPath,
    daily: bool,
    listing: Listing,
    description: str,
    seconds: int,
) -> dg.SensorDefinition:
    key = dg.AssetKey(path)

    @dg.sensor(
        name=name,
        target=dg.AssetSelection.assets(key),
        description=description,
        minimum_interval_seconds=seconds,
        default_status=dg.DefaultSensorStatus.RUNNING,
        tags={"product": product.name},
    )
    def look(context: dg.SensorEvaluationContext, lake: dg.ResourceParam[Lake]) -> dg.SensorResult | dg.SkipReason:
        landed = listing(lake)
        last = attempts(context.instance, key, None if daily else [WHOLE])
        changed = changes(landed, last)
        outside = [p for p in changed if p != WHOLE and not in_range(product, p)]
        busy = underway(context.instance).get(key, set())
        wanted = {p: why for p, why in changed.items() if p not in busy and p not in outside}
        if outside:
            context.log.warning("%s: not the product's days, ignored: %s", name, _few(outside))
        if not wanted:
            return dg.SkipReason(f"of {len(landed)} partitions that lie there none is new, changed or removed")
        asked = ranges(sorted(wanted)[:MOST_DAYS], MOST_DAYS) if daily else [Days(WHOLE, WHOLE)]
        return dg.SensorResult(
            run_requests=[_request(context.instance, key, days, landed, wanted, product) for days in asked]
        )

    return look


def changes(landed: Mapping[str, str], last: Mapping[str, Attempt]) -> dict[str, str]:
    """The partitions whose files are not those that the last attempt read, with `new`, `changed` or `removed`."""
    found = {p: "new" if p not in last or last[p].inputs == NOTHING else "changed" for p in landed}
    found = {p: why for p, why in found.items() if p not in last or last[p].inputs != landed[p]}
    return found | {p: "removed" for p in last if p not in landed and last[p].inputs != NOTHING}


def _request(
    instance: dg.DagsterInstance,
    key: dg.AssetKey,
    days: Days,
    landed: Mapping[str, str],
    changed: Mapping[str, str],
    product: ProductSpec,
) -> dg.RunRequest:
    mine = {p: landed.get(p, NOTHING) for p in changed if days.start <= p <= days.end}
    # With the number of the last attempt, so that files that changed back ask again; without a new attempt the same
    # state asks once, and a run that was killed is retried by Dagster.
    state = sha256(repr((sorted(mine.items()), last_attempt_id(instance, key, mine))).encode()).hexdigest()[:24]
    whys = {why: [p for p in sorted(mine) if changed[p] == why] for why in ("new", "changed", "removed")}
    told = [f"{why}: {_few(found)}" if days.start else f"{why} files" for why, found in whys.items() if found]
    return dg.RunRequest(
        run_key=f"{key.to_user_string()}:{days.start}:{days.end}:{state}",
        asset_selection=[key],
        tags={
            "ml_platform/product": product.name,
            "ml_platform/reason": "; ".join(told),
            **(range_tags(days) if days.start else {}),
        },
    )


def _few(days: list[str]) -> str:
    return ", ".join(days[:DAYS_NAMED]) + (f" and {len(days) - DAYS_NAMED} more" if len(days) > DAYS_NAMED else "")
