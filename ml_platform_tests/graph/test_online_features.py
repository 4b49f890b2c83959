"""The online store is filled from days that are whole and passed, and each day's look-ups are checked."""

from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from dbx_jobs.contract import PartitionReport, TableReport
from dbx_jobs.online_contract import OnlineCheckRequest, OnlineRequest
from ml_platform.components.declared import declared_product
from ml_platform.gateways.jobs import Program
from ml_platform_tests.graph.conftest import Graph
from ml_platform_tests.graph.reported import days_in, online_report, table_report
from ml_platform_tests.graph.ticks import Ticks

ONLINE, CHECKED = "features/flight_delays_online", "monitoring/flight_delays/online_features"
STEP = "features__flight_delays_online"


@pytest.fixture
def landed(graph: Graph) -> Graph:
    """Ten days in the lake; the weather of the tenth is not there."""
    graph.jobs.answers |= {"INGEST": table_report, "ONLINE_FEATURES": online_report}
    for source in ("planes", "airports", "airlines"):
        graph.materialise(f"lake/{source}")
    graph.materialise("lake/flights", "2013-01-01", "2013-01-10")
    graph.materialise("lake/weather", "2013-01-01", "2013-01-09")
    return graph


def requests_of(graph: Graph, program: Program) -> list[Any]:
    return [request for asked, request in graph.jobs.requests if asked is program]


def test_the_store_tells_of_the_last_day_that_every_daily_source_has(landed: Graph) -> None:
    assert Ticks(landed).conditions()[ONLINE] == [""]
    assert landed.materialise(ONLINE).success
    request: OnlineRequest
    [request] = requests_of(landed, Program.ONLINE_FEATURES)
    assert (request.until, request.as_of) == ("2013-01-09", None)
    assert request.event_times == {"flights": "sched_dep_at", "weather": "observed_at"}
    assert request.table.request == ["carrier", "flight", "tailnum", "origin", "dest", "sched_dep_at"]
    assert request.store_uri == landed.settings.online_store_uri == (landed.settings.home / "online").as_uri()
    assert ONLINE not in Ticks(landed).conditions()


def test_a_broken_day_is_not_told_of_and_its_repair_is(landed: Graph) -> None:
    landed.materialise(ONLINE)
    ticks = Ticks(landed)
    landed.jobs.answers["INGEST"] = lambda request: table_report(request, {"2013-01-10": "origin_is_known"})
    landed.materialise("lake/flights", "2013-01-10")
    landed.jobs.answers["INGEST"] = table_report
    landed.materialise("lake/weather", "2013-01-10")
    assert [ONLINE in ticks.conditions() for _ in range(3)] == [False] * 3
    assert "lake/flights did not pass: 2013-01-10" in landed.error(landed.materialise(ONLINE))
    landed.materialise("lake/flights", "2013-01-10")
    assert ticks.conditions()[ONLINE] == [""]


def test_a_person_may_say_of_which_instant_the_store_tells(landed: Graph) -> None:
    config = {STEP: {"config": {"as_of": "2013-01-05T23:30:00-05:00"}}}
    assert landed.materialise(ONLINE, config=config).success
    request: OnlineRequest
    [request] = requests_of(landed, Program.ONLINE_FEATURES)
    assert (request.until, request.as_of) == ("2013-01-05", "2013-01-05T23:30:00-05:00")


@pytest.mark.parametrize("as_of", ["yesterday", "2013-01-05T23:30:00"])
def test_what_is_no_instant_is_refused_with_an_example(landed: Graph, as_of: str) -> None:
    result = landed.materialise(ONLINE, config={STEP: {"config": {"as_of": as_of}}})
    assert f"as_of is {as_of!r}: give an instant with its offset" in landed.error(result)


def test_before_anything_landed_there_is_nothing_to_tell_of(graph: Graph) -> None:
    assert ONLINE not in Ticks(graph).conditions()
    assert "materialise the lake first" in graph.error(graph.materialise(ONLINE))


@pytest.mark.parametrize("differing", [0, 3])
def test_the_check_of_a_day_fails_with_the_feature_and_its_values(landed: Graph, differing: int) -> None:
    def checked(request: OnlineCheckRequest) -> TableReport:
        counts = {"completed": 9, "missing": 1, "differing": differing}
        row = {"feature": "temp", **counts, "prediction_id": "a_0", "online": "40.0", "offline": "41.0"}
        partitions = [PartitionReport(day, 1, f"{day}", True) for day in days_in(request.days)]
        return TableReport(request.table_uri, 3, [], partitions, extra={"2013-01-09": [row]})

    def logged(request: Any) -> TableReport:
        return TableReport(
            request.table_uri, 3, [], [PartitionReport(d, 9, f"{d}", True) for d in days_in(request.days)]
        )

    landed.jobs.answers |= {"INFERENCE_LOG": logged, "CHECK_ONLINE": checked}
    landed.materialise("monitoring/flight_delays/inference_log", "2013-01-09")
    assert Ticks(landed).conditions()[CHECKED] == ["2013-01-09"]
    result = landed.materialise(CHECKED, "2013-01-09")
    [check] = result.get_asset_check_evaluations()
    assert check.passed is not bool(differing)
    if differing:
        assert "temp: 3, such as online 40.0, offline 41.0 for prediction a_0" in str(check.metadata)


def test_a_product_without_online_features_has_neither_store_nor_check(tmp_path: Path) -> None:
    product = declared_product("flight_delays")
    alone = product.model_copy(update={"features": product.features.model_copy(update={"online": None})})
    with dg.DagsterInstance.ephemeral() as instance:
        graph = Graph(instance, tmp_path, alone).definitions.resolve_asset_graph()
    keys = {key.to_user_string() for key in graph.get_all_asset_keys()}
    assert not keys & {ONLINE, CHECKED}
    assert "endpoints/flight_delays" in keys
