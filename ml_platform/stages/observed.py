"""What a retraining decision sees: Dagster's records of data, monitoring tables, the champion's reference."""

import json
from datetime import date, timedelta
from hashlib import sha256
from typing import Any

import dagster as dg

from dbx_jobs.contract import from_dict
from ml_platform.core import keys
from ml_platform.core.drift import comparisons
from ml_platform.core.observations import (
    Champion,
    DayMetrics,
    Observations,
    PastDecision,
    Source,
    SourceDay,
    by_column,
    day_metrics,
)
from ml_platform.core.product import ProductSpec
from ml_platform.gateways.lake import Lake
from ml_platform.gateways.registry import Registry
from ml_platform.scoring.encoding import REFERENCE_FILE
from ml_platform.stages.attempts import WHOLE, Attempt, Records, attempts, contents, reasons

FEATURES_LATE_DAYS = 45
"""So late may the features of a day be; that a source is late is found by its own declaration."""

DRIFT_MARGIN_DAYS = 7
"""Of drift, the window's days count, and those just before it show whether a column changed at once."""


def observe(instance: dg.DagsterInstance, lake: Lake, registry: Registry, product: ProductSpec) -> Observations:
    """All that a decision may know now, from Dagster's records, the monitoring tables and the registry."""
    sources = [_source(instance, path, late) for path, late in tables(product).items()]
    as_of = max((day for source in sources for day in source.days), default=product.start.isoformat())
    champion = _champion(registry, product)
    counts, figures = measured(product)
    recent = days_before(as_of, product.retraining.window_days + DRIFT_MARGIN_DAYS)
    served = _read(instance, lake, figures, champion, product.start.isoformat(), as_of)
    counted = _read(instance, lake, counts, champion, recent, as_of)
    return Observations(
        product=product.name,
        as_of=as_of,
        sources=sources,
        champion=champion,
        performance=sorted((day_metrics(row, row["model_version"]) for row in served), key=lambda day: day.day),
        drift=by_column(comparisons(counted), champion.version) if champion else [],
        history=history(instance, product),
    )


def _read(
    instance: dg.DagsterInstance, lake: Lake, path: keys.AssetPath, champion: Champion | None, first: str, as_of: str
) -> list[dict[str, Any]]:
    """The rows of a monitoring table from `first` on, since the champion was trained; none before there is one."""
    if champion is None or not contents(instance, dg.AssetKey(path)):
        return []
    return lake.rows(path, max(first, days_before(champion.trained_until, -1)), as_of)


def _source(instance: dg.DagsterInstance, path: keys.AssetPath, late_days: int) -> Source:
    """Every attempt at a table: a fault stands until its day passes, since a training would read the day."""
    key = dg.AssetKey(path)
    found = dict(sorted(attempts(instance, key).items()))
    why = reasons(instance, key, [day for day, attempt in found.items() if attempt.outcome != "passed"])
    return Source("/".join(path), late_days, {day: _day(a, why.get(day, "")) for day, a in found.items()})


def _day(attempt: Attempt, why: str) -> SourceDay:
    if attempt.outcome == "refused":
        return SourceDay(refused=why.removeprefix("was refused: ") or "see its last run")
    return SourceDay(failed_checks=why.removeprefix("failed ").split(", ") if attempt.outcome == "failed" else [])


def _champion(registry: Registry, product: ProductSpec) -> Champion | None:
    found = registry.champion(product.name)
    if found is None:
        return None
    raw = json.loads((registry.serving_directory(product.name, found.version) / REFERENCE_FILE).read_text())
    holdout = [from_dict(DayMetrics, day | {"final": True, "version": found.version}) for day in raw["holdout"]]
    return Champion(found.version, raw["trained_until"], holdout, raw["importances"])


def state(records: Records, product: ProductSpec) -> dict[str, str]:
    """The digest of what a decision follows: new measurements, and data that broke, was mended or stopped to come.

    Empty before there is anything to decide about.
    """
    states = {path: records.attempts(dg.AssetKey(path)) for path in tables(product)}
    newest = {path: max(found) for path, found in states.items() if found}
    if not newest:
        return {}
    due = max(newest.values())
    bad = [(path, d, a) for path, s in states.items() for d, a in sorted(s.items()) if a.outcome != "passed"]
    stopped = [p for p, late in tables(product).items() if newest.get(p, "") < days_before(due, max(1, late))]
    figures = [(path, sorted(records.contents(dg.AssetKey(path)).items())) for path in measured(product)]
    if not bad and not stopped and not any(found for _, found in figures):
        return {}
    return {WHOLE: sha256(repr((bad, stopped, figures)).encode()).hexdigest()[:24]}


def tables(product: ProductSpec) -> dict[keys.AssetPath, int]:
    """The daily tables whose state is looked at, with the days that they may be late."""
    sources = {keys.lake(name): source.late_days for name, source in product.daily_sources.items()}
    return sources | {keys.features(product.name): FEATURES_LATE_DAYS}


def measured(product: ProductSpec) -> list[keys.AssetPath]:
    """The tables of measurements that a decision reads: drift, then performance."""
    return [keys.monitoring(product.name, table) for table in ("drift", "performance")]


def history(instance: dg.DagsterInstance, product: ProductSpec) -> list[PastDecision]:
    """The earlier decisions that matter, as the last one carries them: those to retrain, and the last itself."""
    event = instance.get_latest_materialization_event(dg.AssetKey(keys.retrain_decision(product.name)))
    if event is None or event.asset_materialization is None:
        return []
    carried: Any = event.asset_materialization.metadata["history"].value
    return [from_dict(PastDecision, past) for past in carried]


def days_before(day: str, days: int) -> str:
    """The day `days` earlier."""
    return (date.fromisoformat(day) - timedelta(days=days)).isoformat()
