"""What is downstream is made again when what it reads changed, and only then."""

from dataclasses import replace

import dagster as dg
import pytest

from dbx_jobs.contract import PartitionReport, TableReport
from ml_platform_tests.graph.conftest import Graph
from ml_platform_tests.graph.reported import days_in, online_report, table_report
from ml_platform_tests.graph.ticks import Ticks

FEATURES, ONLINE = "features/flight_delays", "features/flight_delays_online"
NEWEST = {ONLINE: [""]}
"""Asked for when something changed that the newest day reads."""
TRUTH, PERFORMANCE, DRIFT, LOG = (
    f"monitoring/flight_delays/{table}" for table in ("ground_truth", "performance", "drift", "inference_log")
)
FLIGHTS, WEATHER = "lake/flights", "lake/weather"
COMPLETED = "monitoring/flight_delays/online_features"
DECISION = "monitoring/flight_delays/retrain_decision"


@pytest.fixture
def ticks(graph: Graph) -> Ticks:
    """Twenty days of January in the lake and the feature table, computed."""
    graph.jobs.answers |= {"INGEST": table_report, "BUILD_FEATURES": table_report, "ONLINE_FEATURES": online_report}
    for source in ("planes", "airports", "airlines"):
        graph.materialise(f"lake/{source}")
    for table in (FLIGHTS, WEATHER, FEATURES):
        assert graph.materialise(table, "2013-01-01", "2013-01-20").success
    assert graph.materialise(ONLINE).success
    return Ticks(graph)


def days(first: int, last: int) -> list[str]:
    return [f"2013-01-{n:02}" for n in range(first, last + 1)]


def corrected(request: object) -> TableReport:
    """A report of other content than `table_report` gives."""
    report = table_report(request)  # type: ignore[arg-type]
    changed = [replace(p, data_version=f"corrected-{p.partition}") for p in report.partitions]
    return replace(report, partitions=changed)


def test_nothing_is_asked_for_when_nothing_changed(ticks):
    assert ticks.conditions() == {}


def test_a_new_day_of_every_daily_source_asks_for_just_its_features_and_the_newest_values(ticks):
    ticks.graph.materialise(FLIGHTS, "2013-01-21")
    assert ticks.conditions() == {}, "the weather of that day is not there yet"
    ticks.graph.materialise(WEATHER, "2013-01-21")
    assert ticks.conditions() == {FEATURES: ["2013-01-21"]} | NEWEST


def test_a_corrected_day_asks_for_exactly_the_days_that_look_back_on_it(ticks):
    ticks.graph.jobs.answers["INGEST"] = corrected
    ticks.graph.materialise(FLIGHTS, "2013-01-05")
    assert ticks.conditions() == {FEATURES: days(5, 14)}


def test_a_day_written_again_with_equal_content_asks_for_nothing(ticks):
    ticks.graph.materialise(FLIGHTS, "2013-01-05")
    assert ticks.conditions() == {}


def test_features_that_came_out_equal_ask_for_nothing_further_down(ticks):
    _log_answers(ticks)
    ticks.make({LOG: days(10, 12)})
    for _ in range(3):
        ticks.make(ticks.conditions())
    ticks.graph.jobs.answers["INGEST"] = corrected
    ticks.graph.materialise(FLIGHTS, "2013-01-11")
    ticks.make(asked := ticks.conditions())
    assert set(asked) == {FEATURES, ONLINE}
    assert ticks.conditions() == {}, "the features of those days have the content that they had"


def test_a_change_that_comes_while_the_asset_is_being_asked_for_is_not_lost(ticks):
    ticks.graph.jobs.answers["INGEST"] = corrected
    ticks.graph.materialise(FLIGHTS, "2013-01-20")
    assert ticks.conditions() == {FEATURES: ["2013-01-20"]} | NEWEST
    ticks.graph.jobs.answers["INGEST"] = lambda request: replace(
        table_report(request), partitions=[PartitionReport(d, 9, f"again-{d}", True) for d in days_in(request.days)]
    )
    ticks.graph.materialise(FLIGHTS, "2013-01-20")
    assert ticks.conditions() == {FEATURES: ["2013-01-20"]} | NEWEST


def test_a_lost_cursor_loses_nothing_and_repeats_nothing(ticks):
    ticks.graph.jobs.answers["INGEST"] = corrected
    ticks.graph.materialise(FLIGHTS, "2013-01-20")
    ticks.cursor = None
    assert ticks.conditions() == {FEATURES: ["2013-01-20"]} | NEWEST
    ticks.make({FEATURES: ["2013-01-20"]} | NEWEST)
    ticks.cursor = None
    assert ticks.conditions() == {}


def test_a_program_that_fails_is_asked_for_once_for_the_same_inputs_and_again_when_they_change(ticks):
    def broken(_request: object) -> TableReport:
        raise RuntimeError("the program is broken")

    ticks.graph.jobs.answers |= {"INGEST": corrected, "BUILD_FEATURES": broken}
    ticks.graph.materialise(FLIGHTS, "2013-01-20")
    ticks.make(asked := ticks.conditions())
    assert asked == {FEATURES: ["2013-01-20"]} | NEWEST
    assert [ticks.conditions(), ticks.conditions(), ticks.conditions()] == [{}, {}, {}]
    ticks.graph.jobs.answers |= {"INGEST": table_report, "BUILD_FEATURES": table_report}
    ticks.graph.materialise(WEATHER, "2013-01-20")
    ticks.graph.jobs.answers["INGEST"] = corrected
    ticks.graph.materialise(WEATHER, "2013-01-20")
    assert ticks.conditions() == {FEATURES: ["2013-01-20"]} | NEWEST


def test_a_failed_error_check_holds_what_reads_it_in_every_later_tick_and_its_passing_lets_go(ticks):
    ticks.graph.jobs.answers["INGEST"] = lambda request: replace(
        corrected(request), checks=table_report(request, {"2013-01-18": "origin_is_known"}).checks
    )
    ticks.graph.materialise(FLIGHTS, "2013-01-18")
    assert [ticks.conditions() for _ in range(4)] == [{DECISION: [""]}, {}, {}, {}], "broken data is only decided about"
    ticks.graph.jobs.answers["INGEST"] = corrected
    ticks.graph.materialise(FLIGHTS, "2013-01-18")
    assert ticks.conditions() == {FEATURES: days(18, 20)} | NEWEST


def test_a_refused_file_holds_what_reads_the_day_although_its_earlier_content_still_stands(ticks):
    ticks.graph.jobs.answers["INGEST"] = lambda request: table_report(request, refused={"2013-01-20": "garbage"})
    ticks.graph.materialise(FLIGHTS, "2013-01-20")
    ticks.graph.jobs.answers["INGEST"] = corrected
    ticks.graph.materialise(WEATHER, "2013-01-20")
    assert ticks.conditions() == {DECISION: [""]}
    refused = ticks.graph.materialise(FEATURES, "2013-01-20")
    assert "lake/flights did not pass: 2013-01-20 was refused: garbage" in ticks.graph.error(refused)
    ticks.graph.materialise(FLIGHTS, "2013-01-20")
    assert ticks.conditions() == {FEATURES: ["2013-01-20"]} | NEWEST


def test_a_corrected_snapshot_asks_for_every_day_that_was_computed_with_it(ticks):
    ticks.graph.jobs.answers["INGEST"] = corrected
    ticks.graph.materialise("lake/planes")
    assert ticks.conditions() == {FEATURES: days(1, 20)} | NEWEST


def test_a_logged_day_asks_for_its_ground_truth_drift_and_online_features_then_for_its_performance(ticks):
    _log_answers(ticks)
    ticks.make({LOG: ["2013-01-20"]})
    assert ticks.conditions() == {TRUTH: ["2013-01-20"], DRIFT: ["2013-01-20"], COMPLETED: ["2013-01-20"]}
    ticks.make({TRUTH: ["2013-01-20"]})
    assert ticks.conditions() == {PERFORMANCE: ["2013-01-20"]}


def test_the_features_of_the_day_before_its_labels_mature_and_of_the_one_after_ask_for_a_days_ground_truth(ticks):
    _log_answers(ticks)
    ticks.make({LOG: ["2013-01-20"]})
    ticks.make(ticks.conditions())
    for day in ("2013-01-21", "2013-01-22"):
        for table in (FLIGHTS, WEATHER, FEATURES):
            ticks.graph.materialise(table, day)
        # The labels mature in one day: the first event after it, on the 22nd, makes them final.
        assert (asked := ticks.conditions())[TRUTH] == ["2013-01-20"], day
        ticks.make({TRUTH: asked[TRUTH]})


def test_a_new_champion_makes_no_past_day_stale(ticks):
    _log_answers(ticks)
    ticks.make({LOG: ["2013-01-20"]})
    ticks.make(ticks.conditions())
    ticks.make(ticks.conditions())
    champion = dg.AssetKey(["models", "flight_delays", "champion"])
    ticks.graph.instance.report_runless_asset_event(
        dg.AssetMaterialization(champion, tags={"dagster/data_version": "2"})
    )
    assert set(ticks.conditions()) <= {"endpoints/flight_delays"}


def test_a_day_between_two_that_are_measured_is_measured_with_them_and_no_longer_gap_is_bridged(ticks):
    _log_answers(ticks)
    ticks.make({LOG: days(5, 12)})
    for _ in range(3):
        ticks.make(ticks.conditions())
    _log_answers(ticks, "corrected")
    for day in ("2013-01-06", "2013-01-08", "2013-01-11"):
        ticks.graph.materialise(TRUTH, day)
    asked = ticks.conditions()
    assert asked == {PERFORMANCE: ["2013-01-06", "2013-01-07", "2013-01-08", "2013-01-11"]}
    ticks.make(asked)
    assert PERFORMANCE not in ticks.conditions()


def _log_answers(ticks: Ticks, content: str = "") -> None:
    """The monitoring jobs report content that follows from their days; drift has no champion and fails."""

    def report(request) -> TableReport:  # noqa: ANN001
        partitions = [
            PartitionReport(d, 9, f"{type(request).__name__}{content}-{d}", True) for d in days_in(request.days)
        ]
        return TableReport(request.table_uri, 3, [], partitions)

    ticks.graph.jobs.answers |= dict.fromkeys(("INFERENCE_LOG", "GROUND_TRUTH", "PERFORMANCE", "CHECK_ONLINE"), report)
