"""The gate decides what serves: in the run, in every later run, and in every later tick."""

from dataclasses import replace

import dagster as dg
import pytest
from mlflow import MlflowClient

from dbx_jobs.contract import Days
from ml_platform.core.gate import Evidence, Interval
from ml_platform.gateways.jobs import Program
from ml_platform.gateways.registry import Registry
from ml_platform.training.contract import (
    REPORT_PATH,
    Calibration,
    CompareReport,
    CompareRequest,
    Part,
    TrainingReport,
    TrainingRequest,
)
from ml_platform_tests.graph.conftest import Graph
from ml_platform_tests.graph.reported import table_report

CANDIDATE, CHAMPION = "models/flight_delays/candidate", "models/flight_delays/champion"
GOOD = {"roc_auc": 0.74, "log_loss": 0.5}


@pytest.fixture
def trained(graph: Graph) -> Graph:
    """A graph with features of January and a training that registers a version each time it is asked."""
    graph.jobs.answers |= {"INGEST": table_report, "BUILD_FEATURES": table_report, "TRAIN": register(graph)}
    for source in ("planes", "airports", "airlines"):
        graph.materialise(f"lake/{source}")
    for daily in ("lake/flights", "lake/weather", "features/flight_delays"):
        assert graph.materialise(daily, "2013-01-01", "2013-01-31").success
    return graph


def register(graph: Graph):
    client = MlflowClient(graph.settings.mlflow_tracking_uri)

    def train(request: TrainingRequest) -> TrainingReport:
        experiment = client.get_experiment_by_name("trained") or client.get_experiment(
            client.create_experiment("trained", graph.settings.mlflow_artifact_uri)
        )
        run = client.create_run(experiment.experiment_id)
        parameters = dict.fromkeys(request.search_space, 7) | {"old": 1}
        recipe = {"estimator": request.estimator, "parameters": parameters}
        client.log_dict(run.info.run_id, recipe, REPORT_PATH)
        if not client.search_registered_models():
            client.create_registered_model("flight_delays")
        version = client.create_model_version("flight_delays", "file:///nowhere", run.info.run_id).version
        return TrainingReport(
            model="flight_delays",
            version=str(version),
            run_id=run.info.run_id,
            experiment_id=experiment.experiment_id,
            fingerprint=f"fingerprint-{version}",
            reused=False,
            estimator=request.estimator,
            parameters={},
            parts={"holdout": Part(Days("2013-01-18", "2013-01-31"), 9000, 2000)},
            metrics={name: Interval(value, value - 0.01, value + 0.01) for name, value in GOOD.items()},
            slices=[],
            calibration=Calibration(False, 1.0, 0.0, 0.5, 0.5),
            parity=0.0,
            features=["temp"],
            plots={},
            card="# flight_delays",
        )

    return train


def compared(**changes: object):
    """Evidence of a challenger as good as the champion, with `changes`."""

    def compare(request: CompareRequest) -> CompareReport:
        evidence = Evidence(
            challenger_version=request.challenger_version,
            window=["2013-01-18", "2013-01-31"],
            rows=9000,
            positives=2000,
            challenger=GOOD,
            champion_version=request.champion_version,
            champion=GOOD if request.champion_version else {},
            difference=Interval(0.0, -0.002, 0.002) if request.champion_version else None,
        )
        return CompareReport(replace(evidence, **changes), plots={})

    return compare


def champion_of(graph: Graph) -> str | None:
    champion = Registry(MlflowClient(graph.settings.mlflow_tracking_uri), graph.settings.home).champion("flight_delays")
    return champion.version if champion else None


REFUSED = {
    "a worse model": {"challenger": {"roc_auc": 0.70, "log_loss": 0.52}, "difference": Interval(-0.04, -0.05, -0.03)},
    "a metric that is not a number": {"challenger": {"roc_auc": float("nan"), "log_loss": 0.5}},
    "a holdout that is too small": {"rows": 900},
    "a champion that cannot be read": {"champion_problem": "model.onnx is missing", "champion": {}, "difference": None},
    "a jump that only a leak explains": {
        "challenger": {"roc_auc": 0.84, "log_loss": 0.4},
        "difference": Interval(0.1, 0.09, 0.11),
    },
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_refused_candidate_is_not_deployed_in_the_run_in_a_later_run_or_in_a_tick(trained, case):
    trained.jobs.answers["COMPARE"] = compared()
    assert trained.materialise(CANDIDATE).success
    assert trained.materialise(CHAMPION).success
    assert champion_of(trained) == "1"
    selection = dg.AssetSelection.assets(CHAMPION, "endpoints/flight_delays")
    before = dg.evaluate_automation_conditions(trained.definitions, trained.instance, asset_selection=selection)

    trained.jobs.answers["COMPARE"] = compared(**REFUSED[case])
    job = trained.definitions.resolve_implicit_global_asset_job_def()
    keys = [dg.AssetKey.from_user_string(key) for key in (CANDIDATE, CHAMPION)]
    run = job.execute_in_process(instance=trained.instance, asset_selection=keys, raise_on_error=False)
    assert not run.success
    assert [event.step_key for event in run.all_events if event.is_step_start] == [
        "models__flight_delays__candidate",
        "models__flight_delays__candidate_gate",
    ], "in the run"

    trained.materialise(CANDIDATE)
    tick = dg.evaluate_automation_conditions(
        trained.definitions, trained.instance, asset_selection=selection, cursor=before.cursor
    )
    assert tick.total_requested == 0, "in the next tick"

    later = trained.materialise(CHAMPION)
    assert "version 3 is not promoted" in trained.error(later)
    assert champion_of(trained) == "1", "in a later run"


def test_without_a_search_the_champions_parameters_are_kept_and_without_a_champion_it_searches(trained):
    trained.jobs.answers["COMPARE"] = compared()
    keeping = {"models__flight_delays__candidate": {"config": {"search": False}}}
    for config in (keeping, keeping, None):
        assert trained.materialise(CANDIDATE, config=config).success
        assert trained.materialise(CHAMPION).success
    first, kept, searched = (request for program, request in trained.jobs.requests if program == Program.TRAIN)
    assert first.trials == searched.trials > 0
    assert (kept.parameters, kept.trials) == (first.parameters | dict.fromkeys(first.search_space, 7), 0)


def test_a_run_that_changes_the_registry_is_tracked_in_mlflow_and_one_that_only_asks_is_not(trained):
    trained.jobs.answers["COMPARE"] = compared()
    client = MlflowClient(trained.settings.mlflow_tracking_uri)
    ids = [trained.materialise(CANDIDATE).run_id]
    assert trained.materialise("monitoring/flight_delays/retrain_decision").success
    experiment = client.get_experiment_by_name("dagster")
    assert experiment
    ids.append(trained.materialise(CHAMPION).run_id)
    runs = client.search_runs([experiment.experiment_id])
    assert sorted(run.data.tags["dagster_run_id"] for run in runs) == sorted(ids)
    assert {run.info.status for run in runs} == {"FINISHED"}


def test_a_candidate_that_passes_is_promoted_in_a_tick(trained):
    trained.jobs.answers["COMPARE"] = compared()
    selection = dg.AssetSelection.assets(CHAMPION)
    before = dg.evaluate_automation_conditions(trained.definitions, trained.instance, asset_selection=selection)
    assert before.total_requested == 0
    assert trained.materialise(CANDIDATE).success
    after = dg.evaluate_automation_conditions(
        trained.definitions, trained.instance, asset_selection=selection, cursor=before.cursor
    )
    assert after.get_num_requested(dg.AssetKey.from_user_string(CHAMPION)) == 1


def test_a_candidate_whose_gate_never_ran_is_not_promoted(trained):
    job = trained.definitions.resolve_implicit_global_asset_job_def()
    candidate = dg.AssetKey.from_user_string(CANDIDATE)
    job.get_subset(asset_selection={candidate}, asset_check_selection=set()).execute_in_process(
        instance=trained.instance
    )
    assert "its gate says 'not run'" in trained.error(trained.materialise(CHAMPION))


def test_where_the_gate_asks_a_person_may_approve_that_version_and_only_that(trained):
    trained.jobs.answers["COMPARE"] = compared(challenger={"roc_auc": 0.9, "log_loss": 0.3})
    trained.materialise(CANDIDATE)
    op = "models__flight_delays__champion"
    wrong = {op: {"config": {"approve_version": "7", "approved_by": "Ada"}}}
    assert "name the candidate '1'" in trained.error(trained.materialise(CHAMPION, config=wrong))
    assert champion_of(trained) is None
    right = {op: {"config": {"approve_version": "1", "approved_by": "Ada"}}}
    assert trained.materialise(CHAMPION, config=right).success
    assert champion_of(trained) == "1"


def test_training_on_a_day_that_failed_its_checks_is_refused(trained):
    trained.jobs.answers["BUILD_FEATURES"] = lambda request: table_report(request, {"2013-01-09": "label_is_binary"})
    trained.materialise("features/flight_delays", "2013-01-09")
    assert "features/flight_delays did not pass: 2013-01-09 failed label_is_binary" in trained.error(
        trained.materialise(CANDIDATE)
    )
