"""A sensor or a schedule that no longer ticks, was switched off or keeps failing is exactly one alert."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.remote_origin import InProcessCodeLocationOrigin, RemoteRepositoryOrigin
from dagster._core.scheduler.instigation import (
    InstigatorState,
    InstigatorStatus,
    InstigatorType,
    ScheduleInstigatorData,
    SensorInstigatorData,
    TickData,
    TickStatus,
)
from dagster._core.test_utils import instance_for_test
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin
from dagster_shared.error import SerializableErrorInfo

from ml_platform.gateways.alerts import Alert, Alerts
from ml_platform.settings import Settings
from ml_platform.stages import alerting

UI = "http://dagster.example"
LOCATION = InProcessCodeLocationOrigin(LoadableTargetOrigin(python_file="toy.py"), location_name="ml_platform")
MINUTE = timedelta(minutes=1)


@dg.asset
def table() -> None: ...


@dg.sensor(name="landing", target=[table], minimum_interval_seconds=15, default_status=dg.DefaultSensorStatus.RUNNING)
def landing() -> dg.SkipReason:
    return dg.SkipReason("nothing")


@dg.sensor(name="optional", target=[table])
def optional() -> dg.SkipReason:
    return dg.SkipReason("nothing")


NIGHTLY = dg.ScheduleDefinition(
    name="fill", target=[table], cron_schedule="0 2 * * *", default_status=dg.DefaultScheduleStatus.RUNNING
)


class Platform:
    """An instance on which instigators ticked when a test says, and the sensor that watches them."""

    def __init__(self, instance: dg.DagsterInstance, home: Path) -> None:
        self.instance, self.now = instance, datetime.now(UTC)
        self.alerts = Alerts(home / "alerts.db")
        settings = Settings(home=home, dagster_ui=UI, code_revision="test")
        resources = {"alerts": self.alerts, "settings": settings}
        self.definitions = dg.Definitions(
            [table], sensors=[landing, optional, *alerting.build()], schedules=[NIGHTLY], resources=resources
        )
        self.resources = resources
        self.cursor = self.watching(timedelta(days=3))
        self.states: dict[str, InstigatorState] = {}
        for name in ("alerts", "landing"):
            self.known(name)
            self.ticked(name, timedelta(seconds=1))
        self.known("fill", InstigatorType.SCHEDULE)
        # Its time of today or yesterday, as the scheduler writes it.
        due = self.now.replace(hour=2, minute=0, second=0, microsecond=0)
        self.ticked("fill", self.now - (due if due <= self.now else due - timedelta(days=1)))

    def watching(self, since: timedelta, looked: timedelta = MINUTE) -> str:
        """A cursor that says since when the sensor looks, and when it looked last."""
        return json.dumps({"since": (self.now - since).timestamp(), "looked": (self.now - looked).timestamp()})

    def known(self, name: str, kind: InstigatorType = InstigatorType.SENSOR) -> None:
        repository = self.definitions.get_repository_def()
        origin = RemoteRepositoryOrigin(LOCATION, repository.name).get_instigator_origin(name)
        data = SensorInstigatorData() if kind == InstigatorType.SENSOR else ScheduleInstigatorData("0 2 * * *", 1.0)
        status = InstigatorStatus.DECLARED_IN_CODE
        self.states[name] = self.instance.add_instigator_state(InstigatorState(origin, kind, status, data))

    def switch_off(self, name: str) -> None:
        self.instance.update_instigator_state(self.states[name].with_status(InstigatorStatus.STOPPED))

    def forget_ticks(self, name: str) -> None:
        state = self.states[name]
        self.instance.purge_ticks(state.instigator_origin_id, state.selector_id, self.now.timestamp() + 60)

    def ticked(self, name: str, ago: timedelta, error: str = "") -> None:
        state = self.states[name]
        self.instance.create_tick(
            TickData(
                state.instigator_origin_id,
                name,
                state.instigator_type,
                TickStatus.FAILURE if error else TickStatus.SKIPPED,
                (self.now - ago).timestamp(),
                error=SerializableErrorInfo(f"{error}\n", [], "ValueError") if error else None,
                selector_id=state.selector_id,
            )
        )

    def tick(self) -> list[Alert]:
        before = len(self.alerts.kept())
        repository = self.definitions.get_repository_def()
        with dg.build_sensor_context(
            self.instance, self.cursor, repository_def=repository, resources=self.resources
        ) as context:
            self.cursor = repository.get_sensor_def("alerts_watch").evaluate_tick(context).cursor
        return self.alerts.kept()[: len(self.alerts.kept()) - before][::-1]


@pytest.fixture(scope="module")
def instance() -> Iterator[dg.DagsterInstance]:
    """On disk: an ephemeral instance keeps no ticks."""
    with instance_for_test() as found:
        yield found


@pytest.fixture
def platform(instance: dg.DagsterInstance, tmp_path: Path) -> Platform:
    instance.wipe_all_schedules()
    return Platform(instance, tmp_path)


def test_what_ticks_is_no_alert(platform):
    assert platform.tick() == []


def test_a_sensor_that_stopped_ticking_is_one_alert_and_the_next_time_another(platform):
    platform.forget_ticks("landing")
    platform.ticked("landing", 6 * MINUTE)
    (alert,) = platform.tick()
    assert (alert.kind, alert.title) == ("sensor", "landing stopped ticking")
    assert f"The last tick was at {platform.now - 6 * MINUTE:%Y-%m-%d %H:%M:%S} UTC" in alert.evidence
    assert alert.link == f"{UI}/locations/__repository__@ml_platform/sensors/landing"
    assert platform.tick() == []
    platform.ticked("landing", 5.5 * MINUTE)
    assert [alert.title for alert in platform.tick()] == ["landing stopped ticking"]


def test_a_sensor_that_never_ticked_is_one_alert(platform):
    platform.forget_ticks("landing")
    (alert,) = platform.tick()
    assert (alert.title, alert.evidence) == ("landing stopped ticking", "It never ticked.")
    assert platform.tick() == []


@pytest.mark.parametrize("watching", [(4 * MINUTE, MINUTE), (timedelta(days=1), 20 * MINUTE)])
def test_silence_while_nobody_watched_is_no_alert(platform, watching):
    platform.forget_ticks("landing")
    platform.ticked("landing", 30 * MINUTE)
    platform.cursor = platform.watching(*watching)
    assert platform.tick() == []
    platform.cursor = None
    assert platform.tick() == []


def test_a_sensor_that_was_switched_off_is_one_alert(platform):
    platform.switch_off("landing")
    assert [alert.title for alert in platform.tick()] == ["landing is switched off"]
    assert platform.tick() == []


def test_a_sensor_that_fails_tick_after_tick_is_one_alert_with_its_error(platform):
    platform.forget_ticks("landing")
    platform.ticked("landing", timedelta(seconds=100))
    for ago in (80, 60, 40, 20):
        platform.ticked("landing", timedelta(seconds=ago), "OSError: the lake does not answer")
    assert platform.tick() == [], "four failures may pass by themselves"
    platform.ticked("landing", timedelta(seconds=10), "OSError: the lake does not answer")
    (alert,) = platform.tick()
    assert (alert.title, alert.evidence) == ("landing fails", "OSError: the lake does not answer")
    platform.ticked("landing", timedelta(seconds=5), "OSError: the lake does not answer")
    assert platform.tick() == []


def test_the_sensor_of_alerts_is_watched_as_well(platform):
    platform.forget_ticks("alerts")
    assert [alert.title for alert in platform.tick()] == ["alerts stopped ticking"]


def test_a_schedule_that_missed_its_time_is_one_alert(platform):
    platform.forget_ticks("fill")
    platform.ticked("fill", timedelta(days=2))
    (alert,) = platform.tick()
    assert alert.title == "fill stopped ticking" and alert.link.endswith("/schedules/fill")
    assert platform.tick() == []


def test_a_schedule_that_failed_is_one_alert(platform):
    platform.ticked("fill", 0 * MINUTE, "ValueError: no such cron")
    assert [alert.title for alert in platform.tick()] == ["fill fails"]
    assert platform.tick() == []


def test_what_runs_only_on_demand_is_not_watched(platform):
    platform.known("optional")
    assert platform.tick() == []
