"""`why` tells the chain that led to a version or was decided of a day, `why-not` the condition that holds."""

from pathlib import Path

import dagster as dg
import pytest
from mlflow import MlflowClient

from ml_platform.components.declared import declared_product
from ml_platform.explanations import why_day, why_not, why_version
from ml_platform.gateways.registry import Registry
from ml_platform_tests.graph.conftest import Graph
from ml_platform_tests.graph.reported import table_report
from ml_platform_tests.graph.test_conditions import corrected
from ml_platform_tests.graph.test_gate import CANDIDATE, CHAMPION, compared, register, trained
from ml_platform_tests.graph.test_retraining import decide, seen
from ml_platform_tests.graph.ticks import Ticks

__all__ = ["seen", "trained"]
PRODUCT = declared_product("flight_delays")


def told(lines) -> str:  # noqa: ANN001
    return "\n".join("  " * line.depth + line.text for line in lines)


def registry(graph: Graph) -> Registry:
    return Registry(MlflowClient(graph.settings.mlflow_tracking_uri), Path(graph.settings.home, "models"))


@pytest.fixture
def two_versions(trained, seen) -> tuple[Graph, dict[str, object]]:
    """A first version that a person trained, and a second that a decision asked for."""
    trained.jobs.answers |= {"COMPARE": compared(), "TRAIN": register(trained)}
    for key in (CANDIDATE, CHAMPION):
        assert trained.materialise(key).success
    decision = decide(Ticks(trained))
    job = trained.definitions.resolve_implicit_global_asset_job_def()
    for key in (CANDIDATE, CHAMPION):
        job.execute_in_process(
            instance=trained.instance,
            asset_selection=[dg.AssetKey.from_user_string(key)],
            tags={"ml_platform/decision": str(decision["decision"])},
        )
    return trained, decision


def test_why_tells_the_chain_of_decisions_from_the_champion_back_to_the_first_version(two_versions):
    graph, decision = two_versions
    text = told(why_version(graph.instance, registry(graph), PRODUCT, None))
    second, first = text.index("version 2, the champion"), text.index("\nversion 1, promoted")
    assert second < text.index(f"for decision {decision['decision']}") < first
    assert "roc_auc is" in text[second:first] and "gate: promote" in text[second:first]
    assert "no decision stands behind it" in text[first:]


def test_why_of_a_day_tells_what_was_decided_and_what_was_trained_for_it(two_versions, seen):
    graph, decision = two_versions
    text = told(why_day(graph.instance, PRODUCT, seen[0].as_of))
    assert f"{seen[0].as_of}: retrain (decision {decision['decision']}" in text
    assert "trained version 2" in text
    assert told(why_day(graph.instance, PRODUCT, "2013-01-01")) == "nothing was decided about 2013-01-01"


def test_why_not_tells_what_holds_a_retraining(two_versions):
    graph, _ = two_versions
    decide(Ticks(graph))
    text = told(why_not(graph.instance, registry(graph), PRODUCT))
    assert "is to wait" in text and "held by cooldown; next allowed" in text


def test_why_not_names_the_partition_and_the_reason_that_hold_a_day_back(two_versions):
    graph, _ = two_versions
    assert "features/flight_delays" not in told(why_not(graph.instance, registry(graph), PRODUCT))
    graph.jobs.answers["INGEST"] = lambda request: table_report(request, refused={"2013-01-31": "it ends in a line"})
    graph.materialise("lake/flights", "2013-01-31")
    graph.jobs.answers["INGEST"] = corrected
    graph.materialise("lake/weather", "2013-01-31")
    text = told(why_not(graph.instance, registry(graph), PRODUCT))
    assert "2013-01-31: held, since lake/flights 2013-01-31 was refused: it ends in a line" in text


def test_why_not_tells_why_the_newest_version_does_not_serve(two_versions):
    graph, _ = two_versions
    graph.jobs.answers["COMPARE"] = compared(rows=900)
    graph.materialise(CANDIDATE)
    text = told(why_not(graph.instance, registry(graph), PRODUCT))
    assert "version 3 does not serve: its gate says refuse" in text and "900 rows" in text
