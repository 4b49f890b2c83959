"""What lands is noticed: each new, changed or removed file asks for just its partition, once."""

from pathlib import Path

import dagster as dg
import pytest

from ml_platform_tests.graph.conftest import Graph
from ml_platform_tests.graph.reported import table_report
from ml_platform_tests.graph.ticks import Ticks, drop, range_of

SENSOR = "landing_flight_delays_flights"
FLIGHTS = "lake/flights"


@pytest.fixture
def ticks(graph: Graph) -> Ticks:
    graph.jobs.answers["INGEST"] = table_report
    return Ticks(graph)


def land(ticks: Ticks, *days: str) -> None:
    for day in days:
        drop(ticks.graph, "flights", day)


def make(ticks: Ticks, requests: list[dg.RunRequest]) -> None:
    for request in requests:
        ticks.graph.materialise(FLIGHTS, *range_of(request))


def test_days_that_landed_together_are_one_run_and_a_gap_makes_another(ticks):
    land(ticks, "2013-01-01", "2013-01-02", "2013-01-03", "2013-01-07")
    asked = ticks.sensor(SENSOR)
    assert [range_of(r) for r in asked] == [("2013-01-01", "2013-01-03"), ("2013-01-07", "2013-01-07")]
    assert asked[1].tags["ml_platform/reason"] == "new: 2013-01-07"
    make(ticks, asked)
    assert ticks.sensor(SENSOR) == []


def test_a_changed_a_removed_and_a_second_file_each_ask_for_their_day_and_say_why(ticks):
    land(ticks, "2013-01-01", "2013-01-02", "2013-01-03", "2013-01-05")
    make(ticks, ticks.sensor(SENSOR))
    drop(ticks.graph, "flights", "2013-01-01", "b", at=2)
    folder = Path(ticks.graph.settings.home, "lake", "landing", "flights")
    (folder / "2013-01-05" / "flights.csv").unlink()
    (folder / "2013-01-03" / "more.csv").write_text("c")
    asked = ticks.sensor(SENSOR)
    assert {range_of(r): r.tags["ml_platform/reason"] for r in asked} == {
        ("2013-01-01", "2013-01-01"): "changed: 2013-01-01",
        ("2013-01-03", "2013-01-03"): "changed: 2013-01-03",
        ("2013-01-05", "2013-01-05"): "removed: 2013-01-05",
    }
    make(ticks, asked)
    assert ticks.sensor(SENSOR) == []


def test_a_refused_file_is_tried_once_and_again_when_it_is_replaced(ticks):
    ticks.graph.jobs.answers["INGEST"] = lambda request: table_report(request, refused={"2013-01-01": "garbage"})
    land(ticks, "2013-01-01")
    make(ticks, ticks.sensor(SENSOR))
    assert ticks.sensor(SENSOR) == []
    drop(ticks.graph, "flights", "2013-01-01", "mended", at=2)
    assert [range_of(r) for r in ticks.sensor(SENSOR)] == [("2013-01-01", "2013-01-01")]


def test_the_same_state_has_the_same_run_key_and_a_file_put_back_has_another(ticks):
    land(ticks, "2013-01-01")
    first = ticks.sensor(SENSOR)
    assert [r.run_key for r in ticks.sensor(SENSOR)] == [r.run_key for r in first], "the daemon starts it once"
    make(ticks, first)
    keys = {first[0].run_key}
    for content, at in (("b", 2.0), ("a", 1.0), ("b", 2.0)):
        drop(ticks.graph, "flights", "2013-01-01", content, at)
        asked = ticks.sensor(SENSOR)
        assert len(asked) == 1 and asked[0].run_key not in keys
        keys.add(asked[0].run_key)
        make(ticks, asked)


def test_days_of_a_run_that_has_not_ended_are_not_asked_for_again(ticks):
    land(ticks, "2013-01-01", "2013-01-02")
    job = ticks.graph.definitions.resolve_implicit_global_asset_job_def()
    tags = {"dagster/asset_partition_range_start": "2013-01-01", "dagster/asset_partition_range_end": "2013-01-01"}
    ticks.graph.instance.create_run_for_job(
        job,
        asset_selection=frozenset({dg.AssetKey(["lake", "flights"])}),
        tags=tags,
        status=dg.DagsterRunStatus.STARTED,
    )
    assert [range_of(r) for r in ticks.sensor(SENSOR)] == [("2013-01-02", "2013-01-02")]


def test_a_day_that_the_product_does_not_have_and_what_is_no_data_file_are_left_alone(ticks):
    land(ticks, "2012-12-31", "2014-01-01", "2013-02-30", "not-a-day")
    folder = Path(ticks.graph.settings.home, "lake", "landing", "flights", "2013-01-01")
    folder.mkdir()
    (folder / ".flights.csv.part").write_text("unfinished")
    (folder / "notes.txt").write_text("hello")
    assert ticks.sensor(SENSOR) == []


def test_a_snapshot_that_landed_or_changed_asks_for_its_table(ticks):
    folder = Path(ticks.graph.settings.home, "lake", "landing", "planes")
    folder.mkdir(parents=True)
    (folder / "planes.csv").write_text("a")
    asked = ticks.sensor("landing_flight_delays_planes")
    assert [r.asset_selection for r in asked] == [[dg.AssetKey(["lake", "planes"])]]
    ticks.graph.materialise("lake/planes")
    assert ticks.sensor("landing_flight_delays_planes") == []
    (folder / "planes.csv").write_text("another")
    assert len(ticks.sensor("landing_flight_delays_planes")) == 1


def test_more_days_than_a_tick_may_ask_for_come_in_the_next(ticks, monkeypatch):
    monkeypatch.setattr("ml_platform.stages.landing.MOST_DAYS", 2)
    land(ticks, "2013-01-01", "2013-01-02", "2013-01-03")
    make(ticks, asked := ticks.sensor(SENSOR))
    assert [range_of(r) for r in asked] == [("2013-01-01", "2013-01-02")]
    assert [range_of(r) for r in ticks.sensor(SENSOR)] == [("2013-01-03", "2013-01-03")]


def test_a_day_that_the_endpoint_logged_more_of_is_asked_for(ticks):
    hour = Path(ticks.graph.settings.home, "lake/modelDataCollector/flight_delays/champion/model_outputs/2013/01/03/12")
    hour.mkdir(parents=True)
    (hour / "one.jsonl").write_text("{}\n")
    assert [range_of(r) for r in ticks.sensor("logged_flight_delays")] == [("2013-01-03", "2013-01-03")]


def test_an_hour_near_midnight_asks_for_both_days_to_which_its_records_may_belong(ticks):
    hour = Path(ticks.graph.settings.home, "lake/modelDataCollector/flight_delays/champion/model_outputs/2013/01/03/05")
    hour.mkdir(parents=True)
    (hour / "one.jsonl").write_text("{}\n")
    assert [range_of(r) for r in ticks.sensor("logged_flight_delays")] == [("2013-01-02", "2013-01-03")]
