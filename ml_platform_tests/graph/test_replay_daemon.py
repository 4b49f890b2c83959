"""The replay's stand-in for Dagster's daemon, on a toy location with a sensor, a condition and a schedule."""

import os
import signal
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import dagster as dg
import pytest

from ml_platform.errors import JobError
from ml_platform.replay.daemon import Daemon
from ml_platform.replay.running import Made
from ml_platform.replay.storage import quick_instance

DAYS = dg.DailyPartitionsDefinition("2013-01-01", end_date="2013-02-01")
RUNNING = dg.DefaultSensorStatus.RUNNING


class Toy:
    """Files that land, a table that a sensor asks for, a table that follows it, and a nightly schedule."""

    def __init__(self) -> None:
        self.landed: dict[str, str] = {}
        self.refused: set[str] = set()
        self.keyed = True
        self.interrupted = False
        self.ticks = 0

    @property
    def definitions(self) -> dg.Definitions:
        lake, features, report = self._assets()
        conditions = dg.AutomationConditionSensorDefinition(
            "conditions", target="*", use_user_code_server=True, default_status=RUNNING
        )
        nightly = dg.ScheduleDefinition(
            name="nightly",
            target=[report],
            cron_schedule="0 2 * * *",
            execution_timezone="America/New_York",
            default_status=dg.DefaultScheduleStatus.RUNNING,
        )

        @dg.sensor(target=[report])
        def sleeping() -> dg.RunRequest:
            return dg.RunRequest()

        return dg.Definitions(
            assets=[lake, features, report],
            sensors=[self._landing(lake.key), conditions, sleeping],
            schedules=[nightly],
        )

    def _landing(self, lake: dg.AssetKey) -> dg.SensorDefinition:
        @dg.sensor(target=dg.AssetSelection.assets(lake), default_status=RUNNING)
        def landing() -> Iterator[dg.RunRequest]:
            self.ticks += 1
            for days, content in self.landed.items():
                start, _, end = days.partition("/")
                ends = {
                    "dagster/asset_partition_range_start": start,
                    "dagster/asset_partition_range_end": end or start,
                }
                key = f"{days}-{content}" if self.keyed else None
                yield dg.RunRequest(run_key=key, asset_selection=[lake], tags=ends)

        return landing

    def _assets(self) -> tuple[dg.AssetsDefinition, dg.AssetsDefinition, dg.AssetsDefinition]:
        updated = dg.AutomationCondition.any_deps_match(dg.AutomationCondition.newly_updated())

        @dg.asset(partitions_def=DAYS, backfill_policy=dg.BackfillPolicy.single_run())
        def lake(context: dg.AssetExecutionContext) -> None:
            if self.interrupted:
                os.kill(os.getpid(), signal.SIGINT)
            if bad := self.refused & set(context.partition_keys):
                raise ValueError(f"refused {bad}")

        @dg.asset(
            partitions_def=DAYS,
            deps=[lake],
            backfill_policy=dg.BackfillPolicy.single_run(),
            automation_condition=updated.since_last_handled(),
        )
        def features() -> None: ...

        @dg.asset
        def report() -> None: ...

        return lake, features, report


@pytest.fixture
def toy() -> Toy:
    return Toy()


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    with quick_instance(tmp_path) as quick:
        yield quick


def asked(made: list[Made]) -> list[tuple[str, tuple[str, ...], str]]:
    return [(run.asked_by, run.assets, run.partitions) for run in made]


def test_what_a_sensor_asks_for_and_what_follows_by_its_condition_is_made_once(
    toy: Toy, instance: dg.DagsterInstance
) -> None:
    daemon = Daemon(instance, toy.definitions)
    daemon.settle()
    toy.landed["2013-01-03"] = "a"
    assert asked(daemon.settle()) == [
        ("landing", ("lake",), "2013-01-03"),
        ("conditions", ("features",), "2013-01-03"),
    ]
    assert daemon.settle() == []
    assert asked(Daemon(instance, toy.definitions).settle()) == []


def test_a_range_that_a_condition_asks_for_is_one_run_for_each_range_without_a_gap(
    toy: Toy, instance: dg.DagsterInstance
) -> None:
    daemon = Daemon(instance, toy.definitions)
    daemon.settle()
    toy.landed |= {"2013-01-03/2013-01-05": "a", "2013-01-09": "a"}
    made = [run for run in daemon.settle() if run.asked_by == "conditions"]
    assert asked(made) == [
        ("conditions", ("features",), "2013-01-03 to 2013-01-05"),
        ("conditions", ("features",), "2013-01-09"),
    ]
    features = dg.AssetKey("features")
    assert instance.get_materialized_partitions(features) == {"2013-01-03", "2013-01-04", "2013-01-05", "2013-01-09"}


def test_a_run_that_fails_is_recorded_and_its_key_is_not_tried_again(toy: Toy, instance: dg.DagsterInstance) -> None:
    toy.landed["2013-01-03"] = "broken"
    toy.refused.add("2013-01-03")
    daemon = Daemon(instance, toy.definitions)
    (made,) = daemon.settle()
    assert not made.success
    assert Daemon(instance, toy.definitions).settle() == []
    toy.refused.clear()
    toy.landed["2013-01-03"] = "repaired"
    assert [run.success for run in daemon.settle()] == [True, True]


def test_a_run_that_was_killed_is_made_again_by_the_next_process(toy: Toy, instance: dg.DagsterInstance) -> None:
    toy.landed["2013-01-03"] = "a"
    killed = Daemon(instance, toy.definitions).settle()[0].run_id
    run = instance.get_run_by_id(killed)
    assert run
    instance.delete_run(killed)
    lost = run.with_tags({**run.tags, "ml_platform/process": "1 started 0.0"})
    instance.add_run(lost._replace(status=dg.DagsterRunStatus.STARTED))
    assert asked(Daemon(instance, toy.definitions).settle())[0] == ("landing", ("lake",), "2013-01-03")


def test_a_run_that_was_interrupted_ends_the_process_and_is_made_again_by_the_next(
    toy: Toy, instance: dg.DagsterInstance
) -> None:
    toy.landed["2013-01-03"] = "a"
    toy.interrupted = True
    with pytest.raises(KeyboardInterrupt):
        Daemon(instance, toy.definitions).settle()
    toy.interrupted = False
    assert asked(Daemon(instance, toy.definitions).settle())[0] == ("landing", ("lake",), "2013-01-03")


def test_a_sensor_of_files_ticks_until_it_is_at_rest_and_not_again_for_what_runs_changed(
    toy: Toy, instance: dg.DagsterInstance
) -> None:
    daemon = Daemon(instance, toy.definitions, outside=["landing"])
    daemon.settle()
    toy.landed["2013-01-03"] = "a"
    daemon.settle(enough=lambda run: "lake" in run.assets)
    toy.ticks = 0
    # It is at rest at its first tick; the condition's run is no reason for another.
    assert [run.asked_by for run in daemon.settle()] == ["conditions"]
    assert toy.ticks == 1
    toy.landed["2013-01-04"] = "a"
    assert daemon.settle(leave_out=["landing"]) == []
    assert toy.ticks == 1


def test_what_is_enough_ends_the_settling_and_the_rest_is_made_the_next_time(
    toy: Toy, instance: dg.DagsterInstance
) -> None:
    daemon = Daemon(instance, toy.definitions, outside=["landing"])
    daemon.settle()
    toy.landed["2013-01-03"] = "a"
    assert [run.asked_by for run in daemon.settle(enough=lambda run: "lake" in run.assets)] == ["landing"]
    assert [run.asked_by for run in daemon.settle()] == ["conditions"]


def test_sensors_and_schedules_that_are_left_tick_only_when_named(toy: Toy, instance: dg.DagsterInstance) -> None:
    toy.landed["2013-01-03"] = "a"
    daemon = Daemon(instance, toy.definitions, leave=["landing", "nightly"])
    assert daemon.settle() == []
    assert daemon.schedules(datetime(2013, 1, 3, 7, tzinfo=UTC), datetime(2013, 1, 5, 7, tzinfo=UTC)) == []
    assert [run.asked_by for run in daemon.tick("landing")] == ["landing"]


def test_sensors_that_never_come_to_rest_are_an_error_that_names_who_asks_for_what(
    toy: Toy, instance: dg.DagsterInstance
) -> None:
    toy.landed["2013-01-03"] = "a"
    toy.keyed = False
    with pytest.raises(JobError, match="landing asked for lake 2013-01-03"):
        Daemon(instance, toy.definitions).settle(rounds=3)


def test_a_schedule_is_evaluated_at_its_local_times_within_the_virtual_day(
    toy: Toy, instance: dg.DagsterInstance
) -> None:
    daemon = Daemon(instance, toy.definitions)
    # 02:00 in New York is 07:00 UTC in winter; the start is excluded and the end is not.
    made = daemon.schedules(datetime(2013, 1, 3, 7, tzinfo=UTC), datetime(2013, 1, 5, 7, tzinfo=UTC))
    times = [run.tags["dagster/scheduled_execution_time"] for run in made]
    assert [datetime.fromisoformat(at).astimezone(UTC) for at in times] == [
        datetime(2013, 1, 4, 7, tzinfo=UTC),
        datetime(2013, 1, 5, 7, tzinfo=UTC),
    ]
    assert daemon.schedules(datetime(2013, 1, 5, 7, tzinfo=UTC), datetime(2013, 1, 6, 6, tzinfo=UTC)) == []


def test_what_a_quick_instance_wrote_is_there_for_dagsters_own(
    toy: Toy, instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    toy.landed["2013-01-03"] = "a"
    made = Daemon(instance, toy.definitions).settle()
    with dg.DagsterInstance.from_config(str(tmp_path)) as own:
        assert own.get_materialized_partitions(dg.AssetKey("lake")) == {"2013-01-03"}
        assert {run.run_id for run in own.get_runs()} == {run.run_id for run in made}
        steps = own.get_records_for_run(made[0].run_id, of_type=dg.DagsterEventType.STEP_SUCCESS).records
    assert [record.event_log_entry.step_key for record in steps] == ["lake"]


def test_conditions_are_looked_at_again_only_after_something_that_they_follow(
    toy: Toy, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[str] = []
    evaluate = Daemon._evaluate

    def evaluated(self: Daemon, sensor: dg.SensorDefinition, cursor: str | None) -> object:
        looks.append(sensor.name)
        return evaluate(self, sensor, cursor)

    monkeypatch.setattr(Daemon, "_evaluate", evaluated)
    daemon = Daemon(instance, toy.definitions)
    toy.landed = {"2013-01-03": "a"}
    made = daemon.settle()
    assert [run.assets for run in made] == [("lake",), ("features",)]
    # After the lake there is news; after the features, which nothing follows, there is none.
    assert looks == ["conditions", "landing", "conditions", "landing", "landing"]
    looks.clear()
    daemon.settle()
    assert looks.count("conditions") == 1


def test_events_that_the_index_has_too_are_those_of_the_run(toy: Toy, instance: dg.DagsterInstance) -> None:
    toy.landed, toy.refused = {"2013-01-03/2013-01-04": "a"}, {"2013-01-04"}
    (run,) = Daemon(instance, toy.definitions).settle()
    every = instance.all_logs(run.run_id)
    for kinds in (
        {dg.DagsterEventType.RUN_FAILURE, dg.DagsterEventType.ASSET_MATERIALIZATION_PLANNED},
        {dg.DagsterEventType.RUN_FAILURE, dg.DagsterEventType.STEP_FAILURE},
    ):
        found = [r.event_log_entry for r in instance.get_records_for_run(run.run_id, of_type=kinds).records]
        assert found == [entry for entry in every if entry.dagster_event_type in kinds] != []
