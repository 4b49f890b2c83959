"""Decides each day whether to train again, and turns such a decision into one run of training and roll-out."""

import json
from collections.abc import Iterable, Iterator
from hashlib import sha256
from typing import Any

import dagster as dg

from dbx_jobs.contract import to_dict
from ml_platform.core import keys
from ml_platform.core.observations import PastDecision
from ml_platform.core.product import ProductSpec
from ml_platform.core.retraining import Decision, decide
from ml_platform.gateways.lake import Lake
from ml_platform.gateways.registry import Registry
from ml_platform.stages.attempts import WHOLE, Attempt, Records, record
from ml_platform.stages.conditions import InputsChanged, NothingAsked
from ml_platform.stages.observed import days_before, history, measured, observe, state, tables

KEPT_DAYS = 400
"""For how long a decision to retrain stays in the history that later decisions carry."""

DECISION_TAG = "ml_platform/decision"


def build(product: ProductSpec) -> tuple[dg.AssetsDefinition, dg.SensorDefinition]:
    """The asset `monitoring/<product>/retrain_decision`, and the sensor that acts on it."""
    return _decision(product), _actor(product)


def _decision(product: ProductSpec) -> dg.AssetsDefinition:
    path = keys.retrain_decision(product.name)
    watched = [*tables(product), *measured(product)]
    condition = (
        InputsChanged(lambda records: state(records, product))
        & ~dg.AutomationCondition.in_progress()
        & ~dg.AutomationCondition.any_deps_in_progress()
        & NothingAsked()
    )

    @dg.asset(
        key=dg.AssetKey(path),
        deps=[dg.AssetDep(dg.AssetKey(p), partition_mapping=dg.AllPartitionMapping()) for p in watched],
        description="Whether to wait, record, quarantine or retrain, and why: one materialisation a decision.",
        group_name="monitoring",
        kinds={"python"},
        owners=product.owners,
        tags={"product": product.name},
        automation_condition=condition,
        pool=f"decision_{product.name}",
    )
    def retrain_decision(
        context: dg.AssetExecutionContext, lake: dg.ResourceParam[Lake], registry: dg.ResourceParam[Registry]
    ) -> Iterator[dg.MaterializeResult]:
        digest = state(Records(context.instance), product).get(WHOLE, "")
        seen = observe(context.instance, lake, registry, product)
        decision = decide(seen, product.retraining)
        document = {"observations": to_dict(seen), "decision": to_dict(decision)}
        identity = sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()[:12]
        file = f"{'/'.join(path)}/{seen.as_of}-{identity}.json"
        lake.write_text(file, json.dumps(document))
        past = PastDecision(identity, decision.day, decision.verdict, decision.broken_columns)
        yield dg.MaterializeResult(
            metadata=_metadata(decision, identity, _kept([*seen.history, past])) | {"document": f"{lake.uri}/{file}"},
            data_version=dg.DataVersion(identity),
        )
        record(context, context.asset_key, WHOLE, Attempt(digest, "passed"), {})

    return retrain_decision


def _actor(product: ProductSpec) -> dg.SensorDefinition:
    targets = (keys.candidate(product.name), keys.champion(product.name), keys.endpoint(product.name))
    selection = dg.AssetSelection.assets(*(dg.AssetKey(path) for path in targets))
    job = dg.define_asset_job(
        f"retrain_{product.name}",
        selection=selection,
        description="Train a candidate, let the gate judge it, promote and roll out what passes.",
        tags={"ml_platform/product": product.name},
    )

    @dg.sensor(
        name=f"retrain_{product.name}",
        job=job,
        minimum_interval_seconds=product.automation.landing_seconds,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Starts one run of training and roll-out for each decision to retrain.",
        tags={"product": product.name},
    )
    def act(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
        past = history(context.instance, product)
        if not past:
            return dg.SkipReason("nothing was decided yet")
        # All recent ones: a tick that was missed acts on a decision that others followed. Dagster starts a key once.
        recent = days_before(past[-1].day, product.retraining.cooldown_days)
        asked = [each for each in past if each.verdict == "retrain" and each.day >= recent]
        if not asked:
            return dg.SkipReason(f"the last decision, of {past[-1].day}, is to {past[-1].verdict}")
        return dg.SensorResult(run_requests=[_request(product, each) for each in asked])

    return act


def _request(product: ProductSpec, past: PastDecision) -> dg.RunRequest:
    # A fixed window: the same decision trains the same model, however late the run starts.
    end = days_before(past.day, product.monitors.performance.maturity_days)
    step = "__".join(keys.candidate(product.name))
    return dg.RunRequest(
        run_key=past.id,
        run_config={"ops": {step: {"config": {"end": end, "search": product.retraining.search}}}},
        tags={DECISION_TAG: past.id, "ml_platform/reason": f"decision {past.id} of {past.day} to retrain"},
    )


def _kept(history: Iterable[PastDecision]) -> list[dict[str, Any]]:
    found = list(history)
    first = days_before(found[-1].day, KEPT_DAYS)
    return [
        to_dict(p) for n, p in enumerate(found) if n == len(found) - 1 or (p.verdict == "retrain" and p.day >= first)
    ]


def _metadata(decision: Decision, identity: str, history: list[dict[str, Any]]) -> dict[str, Any]:
    signals = [
        dg.TableRecord({"signal": s.kind, "name": s.name, "alarm": s.alarm, "evidence": s.sentence})
        for s in decision.signals[:40]
    ]
    return {
        "verdict": decision.verdict,
        "reasons": dg.MetadataValue.md("\n".join(f"- {reason}" for reason in decision.reasons)),
        "as_of": decision.day,
        "decision": identity,
        "champion": decision.champion_version or "none",
        "matured_labels": decision.matured_labels,
        "held_by": ", ".join(decision.held_by) or "nothing",
        "next_allowed": decision.next_allowed or "not at all: the budget is 0",
        "signals": dg.MetadataValue.table(signals) if signals else "none",
        "policy": decision.policy,
        "history": history,
    }
