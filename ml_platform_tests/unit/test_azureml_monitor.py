"""What Azure ML's own monitor found becomes a verdict: only what was measured, in time, within its bounds, passes."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from math import inf, nan
from typing import Any

import pytest
from mlflow.entities import Metric
from pydantic import ValidationError

from ml_platform.components.declared import declared_product
from ml_platform.core.azureml_monitor import Measured, MonitorRun, Watched, bounds, judge
from ml_platform.core.product import ProductSpec
from ml_platform.core.product_monitors import MonitorsSpec
from ml_platform.gateways.monitors.azureml_definition import DataPaths
from ml_platform.gateways.monitors.azureml_results import figure_of
from ml_platform.gateways.monitors.protocol import Reference, Watch
from ml_platform.gateways.workspace import ARM_ID

NOW = datetime(2013, 4, 8, 9, tzinfo=UTC)
GOOD = Measured("data_drift", "PopulationStabilityIndex", "distance", 0.1, 0.25)
RUN = MonitorRun("run-1", "Completed", NOW - timedelta(hours=3), "https://studio.example/run-1", [GOOD])
WATCHED = Watched("https://studio.example/monitor", True, "3", RUN)


def ran(**changes: Any) -> Watched:
    return replace(WATCHED, run=replace(RUN, **changes))


def measured(*figures: Measured) -> Watched:
    return ran(measured=figures)


STATES: dict[str, tuple[Watched, str, bool]] = {
    "all is within its bounds": (WATCHED, "within", True),
    "a figure on its bound is within": (measured(replace(GOOD, value=0.25)), "within", True),
    "a figure is beyond": (measured(GOOD, replace(GOOD, value=0.26)), "beyond", False),
    "there is no monitor": (Watched("page", on=False), "not watched", False),
    "it was switched off": (replace(WATCHED, on=False), "not watched", False),
    "it watches the version before": (replace(WATCHED, model_version="2"), "not watched", False),
    "it has not run yet": (replace(WATCHED, run=None), "no run yet", False),
    "its run failed": (ran(state="Failed"), "run failed", False),
    "its run was cancelled": (ran(state="Canceled"), "run failed", False),
    "its last run is too long ago": (ran(began=NOW - timedelta(hours=27)), "overdue", False),
    "nothing was measured": (measured(), "not measured", False),
    "only another signal was": (measured(replace(GOOD, signal="data_quality")), "not measured", False),
    "a figure is no number": (measured(GOOD, replace(GOOD, value=nan)), "not measured", False),
    "a figure is without end": (measured(GOOD, replace(GOOD, value=inf)), "not measured", False),
}


@pytest.mark.parametrize("case", STATES)
def test_a_signal_passes_only_when_it_was_measured_in_time_within_its_bounds(case: str) -> None:
    watched, verdict, passed = STATES[case]
    found = judge("data_drift", watched, "3", 26, NOW)
    assert (found.verdict, found.passed) == (verdict, passed), found


def test_the_worst_figures_are_told_first_with_feature_value_and_bound() -> None:
    figures = [replace(GOOD, feature=f"f{n}", value=0.1 * n) for n in range(6)]
    found = judge("data_drift", measured(*figures), "3", 26, NOW)
    assert [each.feature for each in found.figures[:2]] == ["f5", "f4"]
    assert "3 of 6 are beyond their bounds: PopulationStabilityIndex of f5 0.5 (0.25)" in found.sentence


def product(**monitors: Any) -> ProductSpec:
    found = declared_product("flight_delays")
    return found.model_copy(update={"monitors": MonitorsSpec.model_validate(monitors)})


def test_bounds_follow_from_those_of_our_own_monitors() -> None:
    signals = ["data_drift", "prediction_drift", "data_quality", "performance"]
    declared = product(
        drift={"psi_alert": 0.4}, performance={"ceilings": {"brier": 0.16}}, azureml={"signals": signals}
    )
    found = bounds(declared)
    assert found["data_drift"] == found["prediction_drift"] == {"population_stability_index": 0.4}
    assert found["performance"] == {"root_mean_squared_error": pytest.approx(0.4)}
    faulty = declared.retraining.max_faulty_share
    assert found["data_quality"]["out_of_bounds_rate"] == found["data_quality"]["data_type_error_rate"] == faulty
    assert bounds(product()) == {}


def test_performance_without_a_ceiling_that_both_know_is_refused_with_what_to_declare() -> None:
    with pytest.raises(ValidationError, match=r"declare that.*|performance\.ceilings\.brier"):
        MonitorsSpec.model_validate({"azureml": {"signals": ["performance"]}})


def logged(since: timedelta = timedelta(minutes=5), **values: float) -> dict[str, Metric]:
    at = round((NOW + since).timestamp() * 1000)
    return {key: Metric(key, value, at, 0) for key, value in values.items()}


TAGS = {"azureml.signal_name": "data_drift", "azureml.metric_name": "PSI", "azureml.feature_name": "distance"}


def test_a_figure_is_read_with_its_feature_and_the_bound_that_it_was_held_against() -> None:
    found = figure_of(TAGS, logged(value=0.3, threshold=0.25), NOW)
    assert found and found == Measured("data_drift", "PSI", "distance", 0.3, 0.25)
    assert found.beyond


def test_a_figure_of_an_earlier_run_is_no_figure_of_this_one() -> None:
    assert figure_of(TAGS, logged(-timedelta(minutes=5), value=0.3, threshold=0.25), NOW) is None


def test_what_has_no_bound_is_not_judged() -> None:
    assert figure_of(TAGS, logged(value=2000), NOW) is None
    assert figure_of(TAGS, logged(value=2000, threshold=nan), NOW) is None


def test_of_two_data_sets_the_worse_counts_and_none_may_be_no_number() -> None:
    found = figure_of(TAGS, logged(target_value=0.1, baseline_value=0.4, threshold=0.2), NOW)
    assert found and found.value == 0.4
    unknown = figure_of(TAGS, logged(target_value=0.1, baseline_value=nan, threshold=0.2), NOW)
    assert unknown and not unknown.known


WORKSPACE = "/subscriptions/s/resourceGroups/g/providers/Microsoft.MachineLearningServices/workspaces/w"
LAKE = "abfss://lake@account.dfs.core.windows.net"


@pytest.mark.parametrize(
    ("signals", "collections", "documents"),
    [
        (["data_drift"], ["model_inputs"], ["training"]),
        (["prediction_drift"], ["model_outputs"], ["training"]),
        (["data_quality", "performance"], ["model_inputs", "model_outputs"], ["training", "truth"]),
    ],
)
def test_a_monitor_is_given_what_its_signals_read(
    signals: Sequence[Any], collections: list[str], documents: list[str]
) -> None:
    assert ARM_ID.fullmatch(WORKSPACE)
    reference = Reference(f"{LAKE}/features/flights", 4, "2013-01-01", "2013-03-17", "late")
    given = {signal: {"metric": 1.0} for signal in signals}
    wanted = Watch("flights", "blue", "3", ("a",), "p", reference, f"{LAKE}/truth", given, 7, "0 6 * * *", "small")
    paths = DataPaths(WORKSPACE, "lake", LAKE)
    assert list(paths.collections(wanted)) == collections
    written = paths.documents(wanted)
    assert [path.split("/")[3] for path in written] == documents
    training = written["azureml_monitors/flights/3/training/MLTable"]
    assert "version_as_of: 4" in training and "/datastores/lake/paths/features/flights\n" in training
    assert "col('day') >= datetime(2013, 1, 1) and col('day') <= datetime(2013, 3, 17)" in training.replace("''", "'")
