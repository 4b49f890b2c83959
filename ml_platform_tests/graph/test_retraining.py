"""A decision is taken when something was measured or broke, and a decision to retrain starts exactly one training."""

from dataclasses import replace
from datetime import date, timedelta

import dagster as dg
import pytest

from ml_platform.core.observations import Observations
from ml_platform.stages import observed, retraining
from ml_platform_tests.graph.conftest import Graph
from ml_platform_tests.graph.reported import online_report, table_report
from ml_platform_tests.graph.ticks import Ticks
from ml_platform_tests.unit.test_retraining import decaying, quiet

DECISION = "monitoring/flight_delays/retrain_decision"
SENSOR = "retrain_flight_delays"


@pytest.fixture
def ticks(graph: Graph) -> Ticks:
    """Ten days in the lake, nothing measured yet."""
    graph.jobs.answers |= {"INGEST": table_report, "BUILD_FEATURES": table_report, "ONLINE_FEATURES": online_report}
    for source in ("planes", "airports", "airlines"):
        graph.materialise(f"lake/{source}")
    for table in ("lake/flights", "lake/weather", "features/flight_delays"):
        graph.materialise(table, "2013-01-01", "2013-01-10")
    graph.materialise("features/flight_delays_online")
    return Ticks(graph)


@pytest.fixture
def seen(monkeypatch):
    """What the decision sees but its own history, which is Dagster's: set by a test."""
    now: list[Observations] = [decaying()]

    def observe(instance, lake, registry, product) -> Observations:  # noqa: ANN001
        return replace(now[0], history=observed.history(instance, product))

    monkeypatch.setattr(retraining, "observe", observe)
    return now


def measure(ticks: Ticks, day: str, content: str = "a") -> None:
    """A day of performance, as its job would have recorded it."""
    performance = dg.AssetKey(["monitoring", "flight_delays", "performance"])
    ticks.graph.instance.report_runless_asset_event(
        dg.AssetMaterialization(performance, partition=day, tags={"dagster/data_version": content})
    )


def decide(ticks: Ticks) -> dict[str, object]:
    assert ticks.graph.materialise(DECISION).success
    event = ticks.graph.instance.get_latest_materialization_event(dg.AssetKey(DECISION.split("/")))
    assert event and event.asset_materialization
    return {name: entry.value for name, entry in event.asset_materialization.metadata.items()}


def later(seen: Observations, days: int) -> Observations:
    """The same a few days later, the measured days moved along."""

    def move(day: str) -> str:
        return (date.fromisoformat(day) + timedelta(days=days)).isoformat()

    return replace(
        seen,
        as_of=move(seen.as_of),
        performance=[replace(day, day=move(day.day)) for day in seen.performance],
        sources=[replace(s, days={move(day): d for day, d in s.days.items()}) for s in seen.sources],
        drift=[],
    )


def test_a_measured_day_asks_for_one_decision_and_nothing_new_asks_for_none(ticks, seen):
    assert DECISION not in ticks.conditions(), "there is nothing to decide about"
    measure(ticks, "2013-01-09")
    assert ticks.conditions()[DECISION] == [""]
    decide(ticks)
    assert DECISION not in ticks.conditions()
    measure(ticks, "2013-01-09", "b")
    assert ticks.conditions()[DECISION] == [""]


def test_data_that_breaks_and_data_that_is_mended_each_ask_for_a_decision(ticks, seen):
    measure(ticks, "2013-01-09")
    ticks.conditions()
    decide(ticks)
    ticks.graph.jobs.answers["INGEST"] = lambda request: table_report(request, refused={"2013-01-10": "garbage"})
    ticks.graph.materialise("lake/weather", "2013-01-10")
    assert ticks.conditions()[DECISION] == [""]
    decide(ticks)
    ticks.graph.jobs.answers["INGEST"] = table_report
    ticks.graph.materialise("lake/weather", "2013-01-10")
    assert ticks.conditions()[DECISION] == [""]


def test_a_source_that_stops_while_another_goes_on_asks_for_a_decision(ticks, seen):
    measure(ticks, "2013-01-09")
    ticks.conditions()
    decide(ticks)
    ticks.graph.materialise("lake/flights", "2013-01-11", "2013-01-12")
    assert ticks.conditions().get(DECISION) == [""]


def test_a_decision_waits_for_what_is_asked_for_upstream_of_it_at_the_same_tick(ticks, seen):
    measure(ticks, "2013-01-09")
    for table in ("lake/flights", "lake/weather"):
        ticks.graph.materialise(table, "2013-01-11")
    assert (asked := ticks.conditions()) == {
        "features/flight_delays": ["2013-01-11"],
        "features/flight_delays_online": [""],
    }
    ticks.make(asked)
    assert ticks.conditions() == {DECISION: [""]}


def test_a_decision_to_retrain_asks_for_one_run_of_training_and_roll_out_tagged_with_it(ticks, seen):
    assert ticks.sensor(SENSOR) == []
    metadata = decide(ticks)
    assert metadata["verdict"] == "retrain"
    (asked,) = ticks.sensor(SENSOR)
    assert asked.run_key == metadata["decision"] == asked.tags["ml_platform/decision"]
    end = (date.fromisoformat(seen[0].as_of) - timedelta(days=1)).isoformat()
    assert asked.run_config == {"ops": {"models__flight_delays__candidate": {"config": {"end": end, "search": False}}}}
    job = ticks.graph.definitions.resolve_job_def("retrain_flight_delays")
    assert {key.to_user_string() for key in job.asset_layer.selected_asset_keys} == {
        "models/flight_delays/candidate",
        "models/flight_delays/champion",
        "endpoints/flight_delays",
    }
    assert any(name.endswith("candidate_gate") for name in job.graph.node_dict)


def test_a_decision_that_no_tick_saw_is_not_lost_when_others_follow_and_keeps_its_key(ticks, seen):
    first = decide(ticks)
    seen[0] = later(quiet(), 3)
    assert decide(ticks)["verdict"] == "wait"
    assert [r.run_key for r in ticks.sensor(SENSOR)] == [first["decision"]]


def test_deciding_again_within_the_cooldown_waits_so_that_no_second_training_starts(ticks, seen):
    first = decide(ticks)
    for days in (0, 7, 21):
        seen[0] = later(decaying(), days)
        again = decide(ticks)
        assert (again["verdict"], again["held_by"]) == ("wait", "cooldown"), days
        assert [r.run_key for r in ticks.sensor(SENSOR)] == [first["decision"]]
    seen[0] = later(decaying(), 28)
    second = decide(ticks)
    assert second["verdict"] == "retrain"
    assert second["decision"] in [r.run_key for r in ticks.sensor(SENSOR)]


def test_a_decision_keeps_all_that_it_saw_in_the_lake(ticks, seen):
    metadata = decide(ticks)
    document = str(metadata["document"]).removeprefix(ticks.graph.settings.lake_uri + "/")
    resources = ticks.graph.definitions.resources or {}
    text = resources["lake"].read_text(document)
    assert seen[0].as_of in text and "holdout" in text
