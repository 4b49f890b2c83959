"""What ends in a run becomes exactly one alert: a refusal, a failed check, a decision, or just that the run failed."""

from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.storage.tags import ROOT_RUN_ID_TAG, WILL_RETRY_TAG
from dagster._core.test_utils import instance_for_test

from ml_platform.errors import LakeError
from ml_platform.gateways.alerts import Alert, Alerts
from ml_platform.settings import Settings
from ml_platform.stages import alerting, run_alerts
from ml_platform.stages.attempts import REFUSED, Attempt, record

UI = "http://dagster.example"
DAYS = dg.DailyPartitionsDefinition("2013-01-01", end_date="2014-01-01")
RANGE = {"dagster/asset_partition_range_start": "2013-03-05", "dagster/asset_partition_range_end": "2013-03-07"}
FLIGHTS = dg.AssetKey(["lake", "flights"])


class Ways(dg.ConfigurableResource):
    """How the toy assets end."""

    way: str = "well"
    verdict: str = "wait"
    id: str = "d-7"
    column: str = "visib"


@dg.multi_asset(
    specs=[dg.AssetSpec(FLIGHTS, partitions_def=DAYS)],
    check_specs=[
        dg.AssetCheckSpec("origin_is_known", asset=FLIGHTS, blocking=True),
        dg.AssetCheckSpec("rows_fit", asset=FLIGHTS),
    ],
    backfill_policy=dg.BackfillPolicy.single_run(),
    name="lake_flights",
)
def flights(context: dg.AssetExecutionContext, ways: Ways):
    fails, days = ways.way in ("fails a check", "fails twice"), context.partition_keys
    verdict = "2013-03-05: 3 of 9 rows unexpected" if fails else None
    table = dg.MetadataValue.table([dg.TableRecord({"partition": days[0], "passed": not fails})])
    yield dg.AssetCheckResult(
        asset_key=FLIGHTS,
        check_name="origin_is_known",
        passed=not fails,
        description=verdict,
        metadata={"evaluations": table},
    )
    yield dg.AssetCheckResult(
        asset_key=FLIGHTS, check_name="rows_fit", passed=ways.way != "warns", severity=dg.AssetCheckSeverity.WARN
    )
    if ways.way == "refuses":
        for day in days[1:]:
            record(context, FLIGHTS, day, Attempt("digest", "refused"), {REFUSED: f"{day}.csv ends in the middle"})
        raise LakeError("lake/flights: 2013-03-06.csv ends in the middle")
    if ways.way == "has no table":
        raise LakeError("There is no table at postgresql://ada:hunter2@db/lake: materialise it\nsecond line")
    if ways.way != "fails twice":
        yield dg.Output(None, output_name="lake__flights")
    else:
        raise ValueError("the disk is full")


@dg.asset(key=["monitoring", "flight_delays", "retrain_decision"])
def decision(ways: Ways) -> dg.MaterializeResult:
    reasons = dg.MetadataValue.md(f"- {ways.column} is constant since 2013-03-01\n- lake/weather failed a check")
    facts = {"as_of": "2013-03-05", "decision": ways.id, "matured_labels": 900, "held_by": "nothing"}
    return dg.MaterializeResult(metadata={"verdict": ways.verdict, "reasons": reasons, **facts})


class Platform:
    """The toy graph on an instance, with the sensor of alerts."""

    def __init__(self, instance: dg.DagsterInstance, home: Path) -> None:
        self.instance, self.cursor = instance, None
        self.alerts = Alerts(home / "alerts.db")
        self.settings = Settings(home=home, dagster_ui=UI, code_revision="test")
        self.definitions = self.definitions_with(Ways())

    def definitions_with(self, ways: Ways) -> dg.Definitions:
        resources = {"ways": ways, "alerts": self.alerts, "settings": self.settings}
        return dg.Definitions([flights, decision], sensors=alerting.build(), resources=resources)

    def run(self, key: str, ways: Ways, tags: dict[str, str] | None = None) -> dg.ExecuteInProcessResult:
        return (
            self.definitions_with(ways)
            .resolve_implicit_global_asset_job_def()
            .execute_in_process(
                instance=self.instance,
                asset_selection=[dg.AssetKey.from_user_string(key)],
                tags=tags,
                run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
                raise_on_error=False,
            )
        )

    def flights(self, way: str, **tags: str) -> dg.ExecuteInProcessResult:
        return self.run("lake/flights", Ways(way=way), {**RANGE, "ml_platform/reason": "changed: 2013-03-05", **tags})

    def tick(self) -> list[Alert]:
        """The alerts that a tick of the sensor adds, oldest first."""
        before = len(self.alerts.kept())
        resources = {"alerts": self.alerts, "settings": self.settings}
        sensor = self.definitions.get_repository_def().get_sensor_def("alerts")
        with dg.build_sensor_context(self.instance, self.cursor, resources=resources) as context:
            self.cursor = sensor.evaluate_tick(context).cursor
        return self.alerts.kept()[: len(self.alerts.kept()) - before][::-1]


@pytest.fixture
def platform(tmp_path: Path) -> Iterator[Platform]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield Platform(instance, tmp_path)


def no_more(platform: Platform) -> bool:
    again = platform.tick()
    platform.cursor = None
    return again == [] and platform.tick() == []


def test_a_failed_error_check_is_one_alert_and_its_run_none(platform):
    result = platform.flights("fails a check")
    assert not result.success
    (alert,) = platform.tick()
    assert (alert.kind, alert.title) == (
        "failed check",
        "lake/flights failed the check origin_is_known on 2013-03-05",
    )
    assert "3 of 9 rows unexpected" in alert.evidence and "changed: 2013-03-05" in alert.evidence
    assert alert.link == f"{UI}/assets/lake/flights?view=checks&checkDetail=origin_is_known"
    assert no_more(platform)


def test_refused_files_are_one_alert_with_their_reasons_and_their_run_none(platform):
    assert not platform.flights("refuses").success
    (alert,) = platform.tick()
    assert (alert.kind, alert.title) == ("refused", "lake/flights refused 2013-03-06, 2013-03-07")
    assert "2013-03-06.csv ends in the middle; 2013-03-07.csv ends in the middle" in alert.evidence
    assert alert.link == f"{UI}/assets/lake/flights?view=partitions&partition=2013-03-06"
    assert no_more(platform)


def test_a_failed_run_is_one_alert_that_names_asset_days_error_and_run(platform):
    result = platform.flights("has no table")
    (alert,) = platform.tick()
    assert (alert.kind, alert.title) == ("failed run", "lake/flights failed for 2013-03-05 to 2013-03-07")
    assert "LakeError: There is no table at postgresql://***@db/lake: materialise it" in alert.evidence
    assert "second line" not in alert.evidence and "hunter2" not in alert.evidence
    assert alert.link == f"{UI}/runs/{result.run_id}"
    assert no_more(platform)


def test_a_failed_run_without_a_selection_is_named_by_what_failed(platform):
    @dg.asset
    def planes() -> None:
        raise ValueError("the disk is full")

    job = dg.Definitions([planes]).resolve_implicit_global_asset_job_def()
    quiet = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
    job.execute_in_process(run_config=quiet, instance=platform.instance, raise_on_error=False)
    assert [alert.title for alert in platform.tick()] == ["planes failed"]


def test_a_failure_beside_a_failed_check_is_an_alert_of_its_own(platform):
    platform.flights("fails twice")
    assert [alert.kind for alert in platform.tick()] == ["failed check", "failed run"]
    assert no_more(platform)


@pytest.mark.parametrize("way", ["well", "warns"])
def test_what_ends_well_and_a_warning_are_no_alert(platform, way):
    assert platform.flights(way).success
    assert platform.tick() == []


@pytest.mark.parametrize("verdict", ["quarantine", "retrain"])
def test_a_decision_to_quarantine_or_to_retrain_is_one_alert_with_its_reasons(platform, verdict):
    assert platform.run("monitoring/flight_delays/retrain_decision", Ways(verdict=verdict)).success
    (alert,) = platform.tick()
    assert (alert.kind, alert.title) == ("decision", f"flight_delays: {verdict} as of 2013-03-05")
    reasons = "- visib is constant since 2013-03-01\n- lake/weather failed a check"
    assert alert.evidence == f"{reasons}\nmatured_labels: 900"
    assert no_more(platform)


def test_broken_data_that_is_decided_on_again_is_one_alert_until_the_reasons_change(platform):
    for id, column in (("d-7", "visib"), ("d-8", "visib"), ("d-9", "temp")):
        platform.run("monitoring/flight_delays/retrain_decision", Ways(verdict="quarantine", id=id, column=column))
    assert [alert.evidence[:7] for alert in platform.tick()] == ["- visib", "- temp "]


def test_each_decision_to_retrain_is_an_alert(platform):
    for id in ("d-7", "d-8"):
        platform.run("monitoring/flight_delays/retrain_decision", Ways(verdict="retrain", id=id))
    assert len(platform.tick()) == 2
    assert no_more(platform)


@pytest.mark.parametrize("verdict", ["wait", "record"])
def test_a_decision_to_wait_or_to_record_is_no_alert(platform, verdict):
    assert platform.run("monitoring/flight_delays/retrain_decision", Ways(verdict=verdict)).success
    assert platform.tick() == []


def test_a_run_that_dagster_tries_again_is_no_alert_and_its_last_failure_is_one(platform):
    first = platform.flights("has no table", **{WILL_RETRY_TAG: "true"})
    assert platform.tick() == []
    platform.flights("has no table", **{ROOT_RUN_ID_TAG: first.run_id, WILL_RETRY_TAG: "false"})
    assert [alert.kind for alert in platform.tick()] == ["failed run"]
    assert no_more(platform)


def test_a_check_that_fails_in_each_retry_is_one_alert_and_in_a_later_run_another(platform):
    first = platform.flights("fails a check")
    platform.flights("fails a check", **{ROOT_RUN_ID_TAG: first.run_id})
    assert [alert.kind for alert in platform.tick()] == ["failed check"]
    platform.flights("well")
    platform.flights("fails a check")
    assert [alert.kind for alert in platform.tick()] == ["failed check"]


def test_a_run_that_just_failed_waits_until_dagster_says_whether_it_tries_again(platform, monkeypatch):
    platform.flights("has no table")
    monkeypatch.setattr(type(platform.instance), "run_retries_enabled", True)
    assert platform.tick() == []
    monkeypatch.setattr(run_alerts, "SETTLED", run_alerts.SETTLED * 0)
    assert [alert.kind for alert in platform.tick()] == ["failed run"]


def test_more_runs_than_a_tick_reads_are_all_told_in_later_ticks(platform, monkeypatch):
    monkeypatch.setattr(alerting, "RUNS_A_TICK", 2)
    for _ in range(5):
        platform.flights("has no table")
    told = [alert.key for _ in range(4) for alert in platform.tick()]
    assert len(told) == len(set(told)) == 5


def test_a_crash_before_the_cursor_is_kept_repeats_and_loses_nothing(platform, monkeypatch):
    platform.flights("has no table")

    def crash() -> list[str]:
        raise RuntimeError("killed")

    monkeypatch.setattr(platform.alerts, "deliver", crash)
    with pytest.raises(Exception, match="killed"):
        platform.tick()
    assert platform.cursor is None
    monkeypatch.undo()
    assert platform.tick() == []
    assert [alert.kind for alert in platform.alerts.kept()] == ["failed run"]


def test_an_instance_on_disk_gives_the_same_alerts(tmp_path):
    with instance_for_test(temp_dir=str(tmp_path)) as instance:
        platform = Platform(instance, tmp_path)
        for way in ("fails a check", "refuses", "has no table"):
            platform.flights(way)
        assert sorted(alert.kind for alert in platform.tick()) == ["failed check", "failed run", "refused"]
        assert no_more(platform)
