"""Azure ML's own monitor in the graph: kept after a roll-out, read each day into checks of the endpoint."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from ml_platform.asset_checks.models import check_models
from ml_platform.core.azureml_monitor import Measured, MonitorRun, Watched
from ml_platform.core.product import ProductSpec
from ml_platform.core.product_monitors import AzureMLMonitorSpec
from ml_platform.errors import MonitorError
from ml_platform.gateways.build import build_gateways
from ml_platform.gateways.endpoints import LocalEndpoints
from ml_platform.gateways.monitors import NoMonitors, Watch
from ml_platform_tests.graph.test_endpoint import ENDPOINT, PRODUCT, Served, quick
from ml_platform_tests.graph.ticks import Ticks

KEY = dg.AssetKey.from_user_string(ENDPOINT)
CHECKS = {f"azureml_{signal}" for signal in ("data_drift", "prediction_drift", "data_quality")}
LEARNT = {
    "features_uri": "abfss://lake@account.dfs.core.windows.net/features/flight_delays",
    "features_version": "4",
    "window_start": "2013-01-01",
    "fitted_until": "2013-03-17",
}


@dataclass
class KeptMonitors:
    """Monitors as a test has them."""

    watched: Watched = Watched("https://studio.example/monitor", on=False)
    fails: str = ""
    wanted: list[Watch] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    absent = ""

    def watch(self, wanted: Watch) -> str:
        if self.fails:
            raise MonitorError(self.fails)
        self.wanted.append(wanted)
        self.watched = replace(self.watched, on=True, model_version=wanted.model_version, run=None)
        return self.watched.page

    def remove(self, endpoint: str) -> None:
        self.removed.append(endpoint)

    def read(self, endpoint: str) -> Watched:
        return self.watched

    def ran(self, **changes: Any) -> None:
        names = ("data_drift", "prediction_drift", "data_quality")
        figures = [Measured(name, "PopulationStabilityIndex", "distance", 0.1, 0.25) for name in names]
        began = datetime.now(UTC) - timedelta(hours=3)
        run = MonitorRun("run-1", "Completed", began, "https://studio.example/run-1", figures)
        self.watched = replace(self.watched, run=replace(run, **changes))


class Monitored(Served):
    """The graph of a product whose endpoint is served and watched."""

    monitors: Any

    def serve(self) -> dg.ExecuteInProcessResult:
        version = self.champion()
        for name, value in LEARNT.items():
            self.client.set_model_version_tag(PRODUCT, version, name, value)
        return self.materialise(ENDPOINT)

    def tick(self) -> Any:
        """What the schedule says at its time."""
        schedule = self.definitions.resolve_schedule_def(f"azureml_monitor_{PRODUCT}")
        context = dg.build_schedule_context(
            instance=self.instance,
            scheduled_execution_time=datetime(2013, 4, 8, 9, tzinfo=UTC),
            resources={"monitors": self.monitors},
        )
        return schedule.evaluate_tick(context)

    def read(self) -> dict[str, dg.AssetCheckEvaluation]:
        """The run that the schedule asks for, and the checks that it evaluated, by name."""
        assert self.tick().run_requests
        job = self.definitions.resolve_schedule_def(f"azureml_monitor_{PRODUCT}").job_name
        done = self.definitions.resolve_job_def(job).execute_in_process(instance=self.instance, raise_on_error=False)
        assert done.success
        return {each.check_name: each for each in done.get_asset_check_evaluations()}


def declaring(declared: AzureMLMonitorSpec | None) -> ProductSpec:
    product = quick()
    return product.model_copy(update={"monitors": product.monitors.model_copy(update={"azureml": declared})})


def graph_of(instance: dg.DagsterInstance, home: Path, monitors: Any, declared: AzureMLMonitorSpec | None) -> Monitored:
    found = Monitored(instance, home, declaring(declared), monitors=monitors)
    found.monitors = monitors
    return found


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as found:
        yield found
    LocalEndpoints(tmp_path / "endpoints", "").delete(PRODUCT)


@pytest.fixture
def monitored(instance: dg.DagsterInstance, tmp_path: Path) -> Monitored:
    return graph_of(instance, tmp_path, KeptMonitors(), AzureMLMonitorSpec())


def test_a_champion_that_serves_is_watched_against_what_it_has_learnt_from(monitored: Monitored) -> None:
    assert monitored.serve().success
    (wanted,) = monitored.monitors.wanted
    assert (wanted.endpoint, wanted.deployment, wanted.model_version) == (PRODUCT, "blue", "1")
    assert wanted.features == ("distance", "carrier") and wanted.output == "probability"
    assert (wanted.reference.version, wanted.reference.first, wanted.reference.last) == (4, "2013-01-01", "2013-03-17")
    assert wanted.bounds["data_drift"] == {"population_stability_index": 0.25}


def test_results_are_read_into_checks_that_tell_figures_run_and_page(monitored: Monitored) -> None:
    monitored.serve()
    monitored.monitors.ran()
    found = monitored.read()
    assert found.keys() == CHECKS and all(each.passed for each in found.values())
    first, *others = monitored.monitors.watched.run.measured
    monitored.monitors.ran(measured=[replace(first, value=0.9), *others])
    drift = monitored.read()["azureml_data_drift"]
    assert not drift.passed and drift.severity == dg.AssetCheckSeverity.WARN
    metadata: dict[str, Any] = {name: entry.value for name, entry in drift.metadata.items()}
    assert (metadata["state"], metadata["signal"]) == ("beyond", "data_drift")
    assert metadata["run"] == "https://studio.example/run-1"
    figures: Any = drift.metadata["figures"]
    row = figures.records[0].data
    assert (row["feature"], row["value"], row["threshold"]) == ("distance", 0.9, 0.25)
    assert "run_began" in metadata and "monitor" in metadata


@pytest.mark.parametrize(
    ("changes", "state"),
    [
        ({"state": "Failed"}, "run failed"),
        ({"began": datetime.now(UTC) - timedelta(days=2)}, "overdue"),
        ({"measured": []}, "not measured"),
    ],
)
def test_a_run_that_failed_is_overdue_or_empty_does_not_pass(
    monitored: Monitored, changes: dict[str, Any], state: str
) -> None:
    monitored.serve()
    monitored.monitors.ran(**changes)
    found = monitored.read()
    assert found.keys() == CHECKS
    assert {(each.passed, str(each.metadata["state"].value)) for each in found.values()} == {(False, state)}


def test_the_checks_of_a_roll_out_say_that_its_version_was_not_measured_yet(monitored: Monitored) -> None:
    result = monitored.serve()
    found = {each.check_name: each for each in result.get_asset_check_evaluations()}
    assert {str(each.metadata["state"].value) for each in found.values()} == {"no run yet"}
    assert not any(each.passed for each in found.values())


def test_a_monitor_that_cannot_be_kept_fails_the_run_and_leaves_the_roll_out(monitored: Monitored) -> None:
    monitored.monitors.fails = "Azure ML's monitor m: quota; run it again"
    result = monitored.serve()
    assert not result.success and "quota" in monitored.error(result)
    assert monitored.said(KEY)["rollout"] == "served" and monitored.answering() == "1"


def test_check_assets_tells_the_same_and_skips_where_nothing_watches(monitored: Monitored) -> None:
    monitored.serve()
    monitored.monitors.ran(state="Failed")
    settings, declared = monitored.settings, declaring(AzureMLMonitorSpec())
    here = build_gateways(settings)
    found = check_models(replace(here, monitors=monitored.monitors), settings, declared, (None, None))[ENDPOINT]()
    assert {report.name for report in found.reports} == CHECKS
    assert not any(report.passed for report in found.reports) and "run failed" in found.reports[0].observed
    absent = check_models(here, settings, declared, (None, None))[ENDPOINT]()
    assert not absent.reports and "no Azure ML workspace here" in absent.absent


def test_on_a_laptop_the_declaration_is_accepted_and_no_check_is_evaluated(
    instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    graph = graph_of(instance, tmp_path, NoMonitors(), AzureMLMonitorSpec())
    result = graph.serve()
    assert result.success and result.get_asset_check_evaluations() == []
    tick = graph.tick()
    assert not tick.run_requests and "no Azure ML workspace here" in (tick.skip_message or "")


def test_a_product_that_declares_none_is_watched_by_none_and_has_no_checks(
    instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    graph = graph_of(instance, tmp_path, KeptMonitors(), None)
    assert graph.serve().success
    assert graph.monitors.removed == [PRODUCT] and not graph.monitors.wanted
    checks = {key.name for key in graph.definitions.resolve_asset_graph().asset_check_keys}
    assert not checks & CHECKS


def test_an_endpoint_runs_again_once_another_monitor_is_declared_or_none(
    instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    weekly = AzureMLMonitorSpec(runs="0 6 * * 1")
    declared = [None, AzureMLMonitorSpec(), weekly, None]
    graphs = [graph_of(instance, tmp_path, KeptMonitors(), each) for each in declared]
    assert graphs[0].serve().success
    for before, after in pairwise(graphs):
        assert Ticks(before).conditions() == {}
        asked = Ticks(after).conditions()
        assert asked == {ENDPOINT: [""]}
        Ticks(after).make(asked)
    assert [len(graph.monitors.wanted) for graph in graphs] == [0, 1, 1, 0]
    assert [len(graph.monitors.removed) for graph in graphs] == [1, 0, 0, 1]
