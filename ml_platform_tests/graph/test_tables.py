"""What a job reports becomes exactly what Dagster records, and what failed holds what is downstream in every run."""

import dagster as dg
import pytest

from ml_platform_tests.graph.conftest import Graph
from ml_platform_tests.graph.reported import table_report

SNAPSHOTS = ("planes", "airports", "airlines")


@pytest.fixture
def lake(graph: Graph) -> Graph:
    """A graph whose jobs succeed."""
    graph.jobs.answers |= {
        "INGEST": table_report,
        "BUILD_FEATURES": table_report,
    }
    for source in SNAPSHOTS:
        assert graph.materialise(f"lake/{source}").success
    return graph


def materialisations(graph: Graph, key: str) -> dict[str | None, dg.AssetMaterialization]:
    records = graph.instance.fetch_materializations(
        dg.AssetKey.from_user_string(key), limit=100, ascending=True
    ).records
    return {record.partition_key: record.asset_materialization for record in records if record.asset_materialization}


def test_each_day_of_a_range_gets_one_materialisation_with_the_version_of_its_own_content(lake):
    assert lake.materialise("lake/flights", "2013-01-01", "2013-01-03").success
    recorded = materialisations(lake, "lake/flights")
    assert {day: m.tags["dagster/data_version"] for day, m in recorded.items() if m.tags} == {
        f"2013-01-0{n}": f"content-of-2013-01-0{n}" for n in (1, 2, 3)
    }
    assert len(lake.instance.fetch_materializations(dg.AssetKey(["lake", "flights"]), limit=100).records) == 3


def test_a_refused_day_is_not_recorded_the_others_are_and_the_run_fails_with_its_reason(lake):
    reason = "flights.csv.gz ends in the middle: land it again"
    lake.jobs.answers["INGEST"] = lambda request: table_report(request, refused={"2013-01-02": reason})
    result = lake.materialise("lake/flights", "2013-01-01", "2013-01-03")
    assert not result.success
    assert reason in lake.error(result)
    assert set(materialisations(lake, "lake/flights")) == {"2013-01-01", "2013-01-03"}


def test_a_failed_error_check_shows_its_day_and_values_and_fails_the_run(lake):
    lake.jobs.answers["INGEST"] = lambda request: table_report(request, {"2013-01-02": "origin_is_known"})
    result = lake.materialise("lake/flights", "2013-01-01", "2013-01-03")
    evaluation = next(e for e in result.get_asset_check_evaluations() if e.check_name == "origin_is_known")
    assert not evaluation.passed and evaluation.blocking
    assert "2013-01-02" in str(evaluation.description) and "failing values: x" in str(evaluation.description)


def test_a_day_that_failed_an_error_check_holds_every_day_that_reads_it_in_a_later_run(lake):
    lake.materialise("lake/weather", "2013-01-01", "2013-01-20")
    lake.jobs.answers["INGEST"] = lambda request: table_report(request, {"2013-01-05": "origin_is_known"})
    lake.materialise("lake/flights", "2013-01-01", "2013-01-20")
    held = lake.materialise("features/flight_delays", "2013-01-14")
    assert "lake/flights did not pass: 2013-01-05 failed origin_is_known" in lake.error(held)
    assert lake.materialise("features/flight_delays", "2013-01-04").success, "does not read the 5th"
    assert lake.materialise("features/flight_delays", "2013-01-15").success, "looks back nine days, not ten"


def test_what_was_held_goes_on_when_the_check_passes_again(lake):
    lake.materialise("lake/weather", "2013-01-01")
    lake.jobs.answers["INGEST"] = lambda request: table_report(request, {"2013-01-01": "origin_is_known"})
    lake.materialise("lake/flights", "2013-01-01")
    assert not lake.materialise("features/flight_delays", "2013-01-01").success
    lake.jobs.answers["INGEST"] = table_report
    lake.materialise("lake/flights", "2013-01-01")
    assert lake.materialise("features/flight_delays", "2013-01-01").success


def test_a_failed_check_holds_what_is_downstream_within_the_run(lake):
    lake.materialise("lake/weather", "2013-01-01")
    lake.jobs.answers["INGEST"] = lambda request: table_report(request, {"2013-01-01": "origin_is_known"})
    job = lake.definitions.resolve_implicit_global_asset_job_def()
    job.execute_in_process(
        instance=lake.instance,
        asset_selection=[dg.AssetKey(["lake", "flights"]), dg.AssetKey(["features", "flight_delays"])],
        partition_key="2013-01-01",
        raise_on_error=False,
    )
    assert materialisations(lake, "features/flight_delays") == {}


def test_features_of_a_day_whose_look_back_was_never_ingested_are_refused(lake):
    lake.materialise("lake/weather", "2013-01-01", "2013-01-20")
    lake.materialise("lake/flights", "2013-01-12", "2013-01-20")
    result = lake.materialise("features/flight_delays", "2013-01-20")
    assert "lake/flights has no partition 2013-01-11: materialise it first" in lake.error(result)


def test_features_read_the_lake_at_the_versions_that_stood_when_they_began(lake):
    lake.materialise("lake/weather", "2013-01-01")
    lake.materialise("lake/flights", "2013-01-01")
    lake.materialise("features/flight_delays", "2013-01-01")
    _, request = lake.jobs.requests[-1]
    assert {table.version for table in request.sources.values()} == {7}
    assert materialisations(lake, "features/flight_delays")["2013-01-01"].metadata["lake/flights version"].value == 7
