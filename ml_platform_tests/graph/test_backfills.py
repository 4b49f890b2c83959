"""The nightly schedule fills what is missing, stale or failed, one run a gap; the weekly one restates the last days."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import dagster as dg
import pytest

from ml_platform_tests.graph.conftest import Graph
from ml_platform_tests.graph.reported import table_report
from ml_platform_tests.graph.ticks import Ticks, drop, range_of

NIGHT = datetime(2013, 1, 21, 7, tzinfo=UTC)
FILL, RESTATE = "fill_flight_delays", "restate_flight_delays"


@pytest.fixture
def graph(tmp_path: Path) -> Iterator[Graph]:
    """The graph on an instance on disk: a schedule opens its own."""
    with dg.instance_for_test(temp_dir=str(tmp_path)) as instance:
        yield Graph(instance, tmp_path)


@pytest.fixture
def ticks(graph: Graph) -> Ticks:
    """Ten landed and computed days."""
    graph.jobs.answers |= {"INGEST": table_report, "BUILD_FEATURES": table_report}
    for source in ("planes", "airports", "airlines"):
        graph.materialise(f"lake/{source}")
    for n in range(1, 11):
        for source in ("flights", "weather"):
            drop(graph, source, f"2013-01-{n:02}")
    for table in ("lake/flights", "lake/weather", "features/flight_delays"):
        assert graph.materialise(table, "2013-01-01", "2013-01-10").success
    return Ticks(graph)


def asked(ticks: Ticks, name: str, at: datetime = NIGHT) -> list[tuple[list[str], tuple[str, str]]]:
    requests = ticks.schedule(name, at)
    return [([k.to_user_string() for k in r.asset_selection or ()], range_of(r)) for r in requests]


def test_a_night_with_nothing_to_make_up_for_starts_no_run(ticks):
    assert asked(ticks, FILL) == []


def test_each_gap_of_landed_days_is_one_run(ticks):
    for day in ("2013-01-12", "2013-01-13", "2013-01-15"):
        drop(ticks.graph, "flights", day)
    assert asked(ticks, FILL) == [
        (["lake/flights"], ("2013-01-12", "2013-01-13")),
        (["lake/flights"], ("2013-01-15", "2013-01-15")),
    ]


def test_a_day_that_failed_its_checks_or_was_refused_is_tried_again_each_night(ticks):
    ticks.graph.jobs.answers["INGEST"] = lambda request: table_report(request, {"2013-01-04": "origin_is_known"})
    ticks.graph.materialise("lake/flights", "2013-01-04")
    ticks.graph.jobs.answers["INGEST"] = lambda request: table_report(request, refused={"2013-01-06": "garbage"})
    ticks.graph.materialise("lake/flights", "2013-01-06")
    assert asked(ticks, FILL) == [
        (["lake/flights"], ("2013-01-04", "2013-01-04")),
        (["lake/flights"], ("2013-01-06", "2013-01-06")),
    ]


def test_features_whose_run_failed_are_made_up_for_but_not_those_that_cannot_be_computed(ticks):
    def corrected(request):  # noqa: ANN001, ANN202
        report = table_report(request)
        return replace(report, partitions=[replace(p, data_version=f"new-{p.partition}") for p in report.partitions])

    ticks.graph.jobs.answers["INGEST"] = corrected
    ticks.graph.materialise("lake/weather", "2013-01-08")
    assert asked(ticks, FILL) == [(["features/flight_delays"], ("2013-01-08", "2013-01-10"))]
    ticks.graph.jobs.answers["INGEST"] = lambda request: table_report(request, refused={"2013-01-08": "garbage"})
    ticks.graph.materialise("lake/flights", "2013-01-08")
    assert [tables for tables, _ in asked(ticks, FILL)] == [["lake/flights"]]


def test_a_long_gap_is_cut_into_runs_of_the_declared_length(ticks, monkeypatch):
    for month, last in ((2, 28), (3, 31), (4, 30), (5, 31)):
        for n in range(1, last + 1):
            drop(ticks.graph, "weather", f"2013-{month:02}-{n:02}")
    assert [days for _, days in asked(ticks, FILL)] == [("2013-02-01", "2013-05-03"), ("2013-05-04", "2013-05-31")]


def test_the_week_reads_the_last_days_that_every_source_has_again_and_what_changes_is_followed(ticks):
    ticks.graph.materialise("lake/flights", "2013-01-11")
    week = ("2013-01-04", "2013-01-10")
    assert asked(ticks, RESTATE) == [(["lake/flights"], week), (["lake/weather"], week)]


def test_a_schedule_s_runs_have_the_key_of_their_time_so_that_they_start_once(ticks):
    drop(ticks.graph, "flights", "2013-01-12")
    keys = [r.run_key for at in (NIGHT, NIGHT, NIGHT.replace(day=22)) for r in ticks.schedule(FILL, at)]
    assert keys[0] == keys[1] != keys[2]
