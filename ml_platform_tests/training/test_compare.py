"""Real challengers and champions meet the gate: a leak asks, a worse or unreadable one refuses, equal ones pass."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from mlflow import MlflowClient

from dbx_jobs.contract import from_dict, to_dict
from ml_platform.core.gate import Decision, GatePolicy, decide
from ml_platform.errors import GateError, RegistryError
from ml_platform.gateways.registry import Registry
from ml_platform.training.compare import compare
from ml_platform.training.contract import (
    SERVING_PATH,
    CompareReport,
    CompareRequest,
    Days,
    Tracking,
    TrainingReport,
    TrainingRequest,
)
from ml_platform.training.train import train
from ml_platform_tests.training.conftest import ROLES, Tables, make_request

Silent = [].append
POLICY = GatePolicy(
    metric="roc_auc",
    direction="maximize",
    margin=0.02,
    min_rows=1000,
    min_positives=100,
    slice_margin=0.08,
    min_slice_rows=500,
    max_gain=0.1,
    floors={"roc_auc": 0.55},
    suspicious_above=0.85,
)


@pytest.fixture(scope="module")
def champion(tables: Tables, store: Callable[[], Tracking]) -> tuple[TrainingRequest, TrainingReport]:
    request = make_request(tables.honest, store())
    return request, train(request, Silent)


def judge(request: TrainingRequest, challenger: str, champion: str | None) -> Decision:
    asked = CompareRequest(
        roles=ROLES,
        metric=request.metric,
        tracking=request.tracking,
        challenger_version=challenger,
        champion_version=champion,
        slices=["origin"],
    )
    report = compare(asked, Silent)
    assert from_dict(CompareReport, to_dict(report)) == report
    return decide(report.evidence, POLICY)


def test_a_model_that_knows_the_departure_delay_waits_for_a_person(
    champion: tuple[TrainingRequest, TrainingReport], tables: Tables, tmp_path: Path
):
    request, best = champion
    leak = train(replace(request, features=replace(request.features, uri=tables.leaky)), Silent)
    registry = Registry(MlflowClient(request.tracking.uri), tmp_path)
    for against in (best.version, None):
        decision = judge(request, leak.version, against)
        assert decision.verdict == "ask", decision.reasons
        assert decision.evidence.challenger["roc_auc"] > 0.85
        registry.record_gate(leak.model, leak.version, decision)
        with pytest.raises(GateError, match="'ask'"):
            registry.promote(leak.model, leak.version)


def test_an_equal_challenger_passes_and_a_worse_one_is_refused(champion: tuple[TrainingRequest, TrainingReport]):
    request, best = champion
    assert judge(request, best.version, best.version).accepted
    stump = {"n_estimators": 1, "num_leaves": 2}
    worse = train(replace(request, parameters=stump, search_space={}), Silent)
    decision = judge(request, worse.version, best.version)
    assert decision.verdict == "refuse" and "may be worse" in decision.reasons[0]
    assert {item.name for item in decision.evidence.slices} == {"origin=EWR", "origin=JFK", "origin=LGA"}


def test_the_frozen_window_has_no_day_that_the_champion_was_fitted_on(
    champion: tuple[TrainingRequest, TrainingReport],
):
    request, best = champion  # fitted until 3 February
    earlier = train(replace(request, window=Days("2013-01-07", "2013-02-06")), Silent)  # its holdout begins 31 January
    evidence = judge(request, earlier.version, best.version).evidence
    assert evidence.window == ["2013-02-04", "2013-02-05", "2013-02-06"]
    much_earlier = train(replace(request, window=Days("2013-01-07", "2013-02-02")), Silent)
    decision = judge(request, much_earlier.version, best.version)
    assert decision.verdict == "refuse" and decision.evidence.rows == 0


def test_a_champion_that_cannot_be_scored_refuses(
    champion: tuple[TrainingRequest, TrainingReport], tables: Tables, tmp_path: Path
):
    request, best = champion
    client = MlflowClient(request.tracking.uri)
    assert "999 cannot be read" in judge(request, best.version, "999").reasons[0]

    leak = train(replace(request, features=replace(request.features, uri=tables.leaky), seed=1), Silent)
    decision = judge(request, best.version, leak.version)  # the honest table lacks the leaky model's column
    assert decision.verdict == "refuse" and "departure_delay" in decision.reasons[0]

    broken = train(replace(request, seed=2), Silent)
    (tmp_path / "model.onnx").write_bytes(b"no model")
    client.log_artifact(broken.run_id, str(tmp_path / "model.onnx"), SERVING_PATH)
    decision = judge(request, best.version, broken.version)
    assert decision.verdict == "refuse" and "no ONNX model" in decision.reasons[0]
    with pytest.raises(RegistryError, match="no ONNX model"):
        judge(request, broken.version, best.version)
