"""What the platform decided during a replay, what came of it, and what it cost, from Dagster's records."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import dagster as dg

from ml_platform.core import keys
from ml_platform.core.product import ProductSpec

DECISION_TAG = "ml_platform/decision"
_PAGE = 1000


@dataclass(frozen=True)
class DecisionRecord:
    """One decision: its last day of evidence, its verdict and reasons, and, where it led to a run, what came of it.

    `outcome` is `promoted`, `refused by the gate`, or `failed`; `seconds` is how long its runs took.
    """

    day: str
    verdict: str
    reasons: list[str]
    decision: str
    run_id: str = ""
    version: str = ""
    outcome: str = ""
    seconds: float = 0.0


def decisions(instance: dg.DagsterInstance, product: ProductSpec, start: str, end: str) -> list[DecisionRecord]:
    """The decisions with evidence up to a day from `start` to `end`, in order; the last one about a day counts."""
    key = dg.AssetKey(keys.monitoring(product.name, "retrain_decision"))
    by_day: dict[str, DecisionRecord] = {}
    cursor = None
    while True:
        page = instance.fetch_materializations(key, limit=_PAGE, cursor=cursor)
        for record in page.records:
            made = record.asset_materialization
            if made is None:
                continue
            found = _decision(instance, product, {name: entry.value for name, entry in made.metadata.items()})
            if start <= found.day <= end:
                kept = by_day.setdefault(found.day, found)
                # A decision that was acted on is what the day is known by, also when it was taken again later.
                if found.run_id and not kept.run_id:
                    by_day[found.day] = found
        if not page.has_more:
            return [by_day[day] for day in sorted(by_day)]
        cursor = page.cursor


def _decision(instance: dg.DagsterInstance, product: ProductSpec, entries: Mapping[str, Any]) -> DecisionRecord:
    decision, verdict = str(entries["decision"]), str(entries["verdict"])
    runs = instance.get_run_records(dg.RunsFilter(tags={DECISION_TAG: decision})) if verdict == "retrain" else []
    version, outcome = _outcome(instance, product, runs)
    return DecisionRecord(
        day=str(entries["as_of"]),
        verdict=verdict,
        reasons=_sentences(entries.get("reasons")),
        decision=decision,
        run_id=runs[0].dagster_run.run_id if runs else "",
        version=version,
        outcome=outcome,
        seconds=sum(run.end_time - run.start_time for run in runs if run.end_time and run.start_time),
    )


def _outcome(instance: dg.DagsterInstance, product: ProductSpec, runs: Sequence[dg.RunRecord]) -> tuple[str, str]:
    version = ""
    for run in runs:
        records = instance.get_records_for_run(
            run.dagster_run.run_id, of_type=dg.DagsterEventType.ASSET_MATERIALIZATION
        ).records
        made = {r.asset_key: r.asset_materialization for r in records if r.asset_materialization}
        if candidate := made.get(dg.AssetKey(keys.candidate(product.name))):
            version = str(candidate.metadata["version"].value)
        if dg.AssetKey(keys.champion(product.name)) in made:
            return version, "promoted"
    if not runs:
        return "", ""
    return version, "refused by the gate" if version else "failed"


def _sentences(markdown: Any) -> list[str]:
    """The items of the list that the decision shows."""
    return [line.removeprefix("- ") for line in str(markdown or "").splitlines() if line.strip()]
