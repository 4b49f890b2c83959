"""Why a version serves, what was decided on a day, and what is held back: from what Dagster and MLflow recorded."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import dagster as dg

from ml_platform.core import keys
from ml_platform.core.product import ProductSpec
from ml_platform.errors import RegistryError
from ml_platform.gateways.registry import GATE, GATE_REASONS, Registry
from ml_platform.stages import features, monitoring
from ml_platform.stages.attempts import Records, reasons
from ml_platform.stages.conditions import stale_candidates, stale_partitions
from ml_platform.stages.retraining import DECISION_TAG
from ml_platform.stages.underway import underway
from ml_platform.stages.upstream import Inputs

MOST = 2000
"""So many decisions and trainings are looked through, the newest first."""

SHOWN = 8


@dataclass(frozen=True)
class Line:
    """A line of an explanation, indented by `depth`."""

    depth: int
    text: str


@dataclass(frozen=True)
class Decided:
    """One materialisation of the decision asset."""

    id: str
    day: str
    verdict: str
    reasons: list[str]
    held_by: str
    next_allowed: str
    champion: str


def why_version(
    instance: dg.DagsterInstance, registry: Registry, product: ProductSpec, version: str | None
) -> Iterator[Line]:
    """The chain from a version (None: the champion) back to the first: gate, training, decision, version before.

    Raises RegistryError when there is no such version.
    """
    champion = registry.champion(product.name)
    if version is None and champion is None:
        raise RegistryError(f"{product.name} has no champion yet: materialise models/{product.name}/candidate first")
    decided = {each.id: each for each in decisions(instance, product)}
    trained = _trainings(instance, product)
    current = version or (champion.version if champion else "")
    while current and current != "none":
        found = registry.get(product.name, current)
        serving = ", the champion" if champion and champion.version == current else ""
        promoted = f", promoted {found.tags['promoted_at']}" if "promoted_at" in found.tags else ", never promoted"
        yield Line(0, f"version {current}{serving}{promoted}")
        window = f"{found.tags.get('window_start', '?')} to {found.tags.get('holdout_end', '?')}"
        yield Line(1, f"learnt from {window}, registered {found.created_at:%Y-%m-%d %H:%M} UTC")
        yield Line(1, f"gate: {found.tags.get(GATE, 'not run')}: {found.tags.get(GATE_REASONS, '')}")
        run, identity = trained.get(current, ("", ""))
        if identity in decided:
            yield Line(1, f"trained by run {run} for decision {identity}")
            yield from (Line(line.depth + 1, line.text) for line in _told(decided[identity]))
        else:
            yield Line(1, f"trained by run {run or 'unknown'}, which a person started: no decision stands behind it")
        current = found.tags.get("previous_champion", "")


def why_day(instance: dg.DagsterInstance, product: ProductSpec, day: str) -> Iterator[Line]:
    """Every decision about a day, in order, and what followed from it."""
    found = [each for each in decisions(instance, product) if each.day == day]
    if not found:
        yield Line(0, f"nothing was decided about {day}")
    acted = {identity: (version, run) for version, (run, identity) in _trainings(instance, product).items()}
    for each in reversed(found):
        yield from _told(each)
        if each.id in acted:
            version, run = acted[each.id]
            yield Line(1, f"run {run} trained version {version}")


def why_not(instance: dg.DagsterInstance, registry: Registry, product: ProductSpec) -> Iterator[Line]:
    """What is not made or not done at present, and the condition that holds it."""
    newest = next(iter(decisions(instance, product)), None)
    if newest is None:
        yield Line(0, "retraining: nothing was decided yet; a decision follows the first measured day")
    else:
        yield Line(0, f"retraining: the last decision, of {newest.day}, is to {newest.verdict}")
        yield from (Line(1, reason) for reason in newest.reasons)
        yield Line(1, f"held by {newest.held_by}; next allowed {newest.next_allowed}")
    yield from _not_promoted(registry, product)
    busy = underway(instance)
    tables = {keys.features(product.name): features.reads(product)} | monitoring.reads(product)
    for path, inputs in tables.items():
        if any(upstream.followed for upstream in inputs.upstream):
            yield from _held(instance, path, inputs, busy.get(dg.AssetKey(path), set()))


def decisions(instance: dg.DagsterInstance, product: ProductSpec) -> list[Decided]:
    """The decisions of a product, the newest first."""
    key = dg.AssetKey(keys.retrain_decision(product.name))
    found = []
    for record in instance.fetch_materializations(key, limit=MOST).records:
        if record.asset_materialization:
            found.append(_decided({n: e.value for n, e in record.asset_materialization.metadata.items()}))
    return found


def _decided(metadata: dict[str, Any]) -> Decided:
    told = [line.removeprefix("- ") for line in str(metadata["reasons"]).splitlines()]
    names = ("decision", "as_of", "verdict")
    identity, day, verdict = (str(metadata[name]) for name in names)
    held, allowed, champion = (str(metadata[name]) for name in ("held_by", "next_allowed", "champion"))
    return Decided(identity, day, verdict, told, held, allowed, champion)


def _trainings(instance: dg.DagsterInstance, product: ProductSpec) -> dict[str, tuple[str, str]]:
    """By version: the run that trained it, and the decision that the run was for ("" without one)."""
    found: dict[str, tuple[str, str]] = {}
    records = instance.fetch_materializations(dg.AssetKey(keys.candidate(product.name)), limit=MOST).records
    for record in reversed(records):
        if record.asset_materialization is None:
            continue
        run = instance.get_run_by_id(record.run_id)
        version = str(record.asset_materialization.metadata["version"].value)
        found.setdefault(version, (record.run_id, run.tags.get(DECISION_TAG, "") if run else ""))
    return found


def _told(decided: Decided) -> Iterator[Line]:
    yield Line(0, f"{decided.day}: {decided.verdict} (decision {decided.id}, champion {decided.champion})")
    yield from (Line(1, reason) for reason in decided.reasons)


def _not_promoted(registry: Registry, product: ProductSpec) -> Iterator[Line]:
    newest, champion = registry.latest(product.name), registry.champion(product.name)
    if newest and (champion is None or newest.version != champion.version):
        verdict = newest.tags.get(GATE, "not run")
        yield Line(0, f"version {newest.version} does not serve: its gate says {verdict}")
        yield Line(1, newest.tags.get(GATE_REASONS, "run the gate"))


def _held(instance: dg.DagsterInstance, path: keys.AssetPath, inputs: Inputs, busy: set[str]) -> Iterator[Line]:
    records = Records(instance)
    stale = stale_partitions(records, dg.AssetKey(path), stale_candidates(inputs, records))
    look = inputs.look(records)
    told = [(day, _obstacle(instance, day, look.missing_for(day), look.broken_for(day), busy)) for day in sorted(stale)]
    if told:
        yield Line(0, f"{'/'.join(path)}: {len(told)} days do not stand on what they read now")
    for day, obstacle in told[-SHOWN:]:
        yield Line(1, f"{day}: {obstacle}")


def _obstacle(
    instance: dg.DagsterInstance,
    day: str,
    missing: list[tuple[keys.AssetPath, str]],
    broken: list[tuple[keys.AssetPath, str]],
    busy: set[str],
) -> str:
    if broken:
        path, partition = broken[0]
        why = reasons(instance, dg.AssetKey(path), [partition]).get(partition, "did not pass")
        return f"held, since {'/'.join(path)} {partition} {why}".strip()
    if missing:
        return "waits for " + ", ".join(f"{'/'.join(path)} {partition}" for path, partition in missing[:3])
    return "a run is under way" if day in busy else "asked for at the next tick, unless its last run failed: see there"
