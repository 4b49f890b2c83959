"""What a replay's report says of the decisions, from what Dagster recorded."""

from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from ml_platform.components.declared import declared_product
from ml_platform.core import keys
from ml_platform.replay.decisions import DECISION_TAG, decisions
from ml_platform.replay.storage import quick_instance

PRODUCT = declared_product("flight_delays")
REASONS = "- log_loss is worse by 0.07\n- nothing is broken"


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    with quick_instance(tmp_path) as quick:
        yield quick


def decide(instance: dg.DagsterInstance, day: str, verdict: str, identity: str) -> None:
    metadata = {"as_of": day, "verdict": verdict, "decision": identity, "reasons": dg.MetadataValue.md(REASONS)}
    key = dg.AssetKey(keys.retrain_decision(PRODUCT.name))
    instance.report_runless_asset_event(dg.AssetMaterialization(key, metadata=metadata))


def act(instance: dg.DagsterInstance, identity: str, version: str, gate: bool) -> str:
    """A run of training and roll-out whose gate passes or refuses."""

    @dg.asset(key=dg.AssetKey(keys.candidate(PRODUCT.name)))
    def candidate() -> dg.MaterializeResult:
        return dg.MaterializeResult(metadata={"version": version})

    @dg.asset(key=dg.AssetKey(keys.champion(PRODUCT.name)), deps=[candidate])
    def champion() -> None:
        if not gate:
            raise ValueError("the gate refuses")

    ended = dg.materialize(
        [candidate, champion], instance=instance, tags={DECISION_TAG: identity}, raise_on_error=False
    )
    return ended.run_id


def test_a_decision_that_was_acted_on_names_its_run_its_version_what_came_of_it_and_its_cost(
    instance: dg.DagsterInstance,
) -> None:
    decide(instance, "2013-04-28", "retrain", "aaa")
    promoted = act(instance, "aaa", "2", gate=True)
    decide(instance, "2013-06-01", "retrain", "bbb")
    refused = act(instance, "bbb", "3", gate=False)
    first, second = decisions(instance, PRODUCT, "2013-04-01", "2013-12-31")
    assert (first.run_id, first.version, first.outcome) == (promoted, "2", "promoted")
    assert (second.run_id, second.version, second.outcome) == (refused, "3", "refused by the gate")
    assert first.seconds > 0
    assert first.reasons == ["log_loss is worse by 0.07", "nothing is broken"]


def test_the_last_decision_about_a_day_counts_unless_an_earlier_one_was_acted_on(instance: dg.DagsterInstance) -> None:
    decide(instance, "2013-04-28", "retrain", "aaa")
    act(instance, "aaa", "2", gate=True)
    for day, verdict, identity in [
        ("2013-04-28", "wait", "bbb"),
        ("2013-04-29", "wait", "ccc"),
        ("2013-04-29", "record", "ddd"),
    ]:
        decide(instance, day, verdict, identity)
    found = decisions(instance, PRODUCT, "2013-04-01", "2013-12-31")
    assert [(each.day, each.verdict) for each in found] == [("2013-04-28", "retrain"), ("2013-04-29", "record")]


def test_days_outside_of_the_replay_are_left_out(instance: dg.DagsterInstance) -> None:
    for day in ("2013-03-31", "2013-04-01", "2013-05-01"):
        decide(instance, day, "wait", day)
    assert [each.day for each in decisions(instance, PRODUCT, "2013-04-01", "2013-04-30")] == ["2013-04-01"]
