"""What two replayed days left: each table agrees with the endpoint, the lake and scikit-learn."""

from datetime import date
from typing import Any

import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from ml_platform.core import keys
from ml_platform.gateways.endpoints import ScoringClient
from ml_platform_tests.e2e.line import LAST_FINAL, PRODUCT, REPLAYED, Line


def monitored(line: Line, table: str) -> Any:
    return line.read(keys.monitoring(PRODUCT, table))


def test_every_replayed_flight_is_logged_once_with_the_probability_that_the_endpoint_gives(line: Line) -> None:
    log = monitored(line, "inference_log")
    features = line.product.features
    rows = line.gateways.lake.rows(keys.features(PRODUCT), *REPLAYED)
    hidden = {"day", features.prediction_time, line.product.model.label}
    records = [{name: value for name, value in row.items() if name not in hidden} for row in rows]
    assert sorted(log["flight_id"]) == sorted(record["flight_id"] for record in records)
    endpoints = line.gateways.endpoints
    answers: dict[str, float] = {}
    with ScoringClient(endpoints.scoring_uri(PRODUCT), endpoints.keys(PRODUCT).primary) as client:
        for start in range(0, len(records), 200):
            batch = records[start : start + 200]
            scores = client.score(batch, probe=True)
            answers |= {r["flight_id"]: p.probability for r, p in zip(batch, scores.predictions, strict=True)}
    assert dict(zip(log["flight_id"], log["probability"], strict=True)) == pytest.approx(answers, abs=1e-6)


def test_a_flight_is_logged_at_the_hour_before_its_departure_that_it_was_asked_at(line: Line) -> None:
    log = monitored(line, "inference_log")
    assert (log["sched_dep_at"] - log["logged_at"] == pd.Timedelta(hours=1)).all()
    assert (log["day"].min(), log["day"].max()) == tuple(date.fromisoformat(day) for day in REPLAYED)


def test_ground_truth_is_whether_the_lakes_flight_arrived_more_than_fifteen_minutes_late(line: Line) -> None:
    truth = monitored(line, "ground_truth").set_index("flight_id")["delayed"]
    flights = line.read(keys.lake("flights"), REPLAYED)
    flights.index = pd.Index(
        flights["day"].astype(str)
        + ("-" + flights["carrier"] + "-" + flights["flight"].astype(str) + "-" + flights["origin"])
    )
    arrived = flights["arr_delay"].dropna()
    assert truth.dropna().astype(bool).to_dict() == (arrived > 15).to_dict()
    assert set(truth.index[truth.isna()]) == set(flights.index) - set(arrived.index)


def test_a_days_auc_is_scikit_learns_on_the_flights_that_arrived(line: Line) -> None:
    labelled = monitored(line, "ground_truth").dropna(subset="delayed")
    rows = labelled.merge(monitored(line, "inference_log")[["prediction_id", "probability"]], on="prediction_id")
    expected = {day: roc_auc_score(group["delayed"], group["probability"]) for day, group in rows.groupby("day")}
    performance = monitored(line, "performance").set_index("day")
    assert performance["roc_auc"].to_dict() == pytest.approx(expected, abs=1e-9)
    assert performance["labelled"].to_dict() == rows.groupby("day").size().to_dict()


def test_a_day_is_final_when_the_tables_reach_past_its_maturity_and_provisional_before(line: Line) -> None:
    performance, truth = monitored(line, "performance"), monitored(line, "ground_truth")
    final = {str(day): str(day) <= LAST_FINAL for day in performance["day"]}
    assert set(final.values()) == {True, False}
    assert dict(zip(performance["day"].astype(str), performance["final"], strict=True)) == final
    assert set(zip(truth["day"].astype(str), truth["final"], strict=True)) == set(final.items())


def test_drift_is_measured_against_the_version_that_serves(line: Line) -> None:
    champion = line.metadata(keys.champion(PRODUCT))["version"].value
    state = line.gateways.endpoints.state(PRODUCT)
    assert state and state.serving and state.status == "serving"
    assert state.serving.model_version == champion
    drift, log = monitored(line, "drift"), monitored(line, "inference_log")
    assert drift["baseline_version"].unique().tolist() == log["model_version"].unique().tolist() == [champion]
    counted = drift.groupby(["day", "column"])["count"].sum().unstack()
    assert counted.eq(log.groupby("day").size(), axis=0).all(axis=None)
