"""Evaluates the real sensors and schedules in one process, as Dagster's daemon does, and makes what they ask for."""

import logging
from collections.abc import Callable, Collection, Iterator, Sequence
from datetime import datetime
from typing import Any

import dagster as dg
from dagster._core.execution.resources_init import get_transitive_required_resource_keys
from dagster._core.storage.tags import SCHEDULE_NAME_TAG, SENSOR_NAME_TAG
from dagster._utils.schedules import schedule_execution_time_iterator

from ml_platform.errors import JobError
from ml_platform.replay.running import IMPLICIT_JOB, Asked, Made, Runs
from ml_platform.runs import end_abandoned

ROUNDS = 40
"""Ticks of every sensor before it is an error that they still ask for something."""


class Daemon:
    """The sensors and schedules of `definitions` that run by default, on one instance; a run is made when asked for.

    A cursor is stored after the runs that its tick asked for: killed in between, the tick is evaluated again. A run
    that fails is recorded as failed, as the daemon's would be. `tell` is told each run. The sensors named `outside`
    look at files only: once one asks for nothing, no run makes it ask again. Sensors and schedules to `leave` do not
    tick by themselves.
    """

    def __init__(
        self,
        instance: dg.DagsterInstance,
        definitions: dg.Definitions,
        tell: Callable[[Made], None] = lambda _: None,
        outside: Collection[str] = (),
        leave: Collection[str] = (),
    ) -> None:
        logging.getLogger("dagster").setLevel(logging.CRITICAL)
        end_abandoned(instance)
        self.instance = instance
        self._news = True
        self._repository = definitions.get_repository_def()
        self.runs = Runs(instance, self._repository, tell)
        running = [s for s in self._repository.sensor_defs if s.default_status == dg.DefaultSensorStatus.RUNNING]
        self._outside = [sensor for sensor in running if sensor.name in outside and sensor.name not in leave]
        self._inside = [sensor for sensor in running if sensor.name not in outside and sensor.name not in leave]
        self._schedules = [
            schedule
            for schedule in self._repository.schedule_defs
            if schedule.default_status == dg.DefaultScheduleStatus.RUNNING and schedule.name not in leave
        ]

    def settle(
        self,
        rounds: int = ROUNDS,
        leave_out: Collection[str] = (),
        enough: Callable[[Made], bool] = lambda _: False,
    ) -> list[Made]:
        """Tick the sensors until none asks for anything; raises JobError when they do not come to rest.

        Those to `leave_out` are sensors from `outside` whose files are known not to have changed. A tick with a run
        that is `enough` is the last: what else is to be done, the next time asks for.
        """
        made: list[Made] = []
        busy: list[Made] = []
        self._news = True
        awake = [sensor for sensor in self._outside if sensor.name not in leave_out]
        for _ in range(rounds):
            # Files first: what they change is what the others wait for.
            busy = self._tick(awake)
            awake = [sensor for sensor in awake if sensor.name in {run.asked_by for run in busy}]
            made += busy
            if any(map(enough, busy)):
                return made
            if awake:
                continue
            for sensor in self._inside:
                busy += (asked := self._tick([sensor]) if self._is_due(sensor) else [])
                made += asked
                if any(map(enough, asked)):
                    return made
            if not busy:
                return made
        raise JobError(
            f"The sensors do not come to rest in {rounds} rounds; in the last one "
            + "; ".join(str(run) for run in busy[:5])
        )

    def _is_due(self, sensor: dg.SensorDefinition) -> bool:
        """Whether to tick one from inside: conditions say the same until something is made that has followers."""
        if not isinstance(sensor, dg.AutomationConditionSensorDefinition):
            return True
        due, self._news = self._news, False
        return due

    def _is_followed(self, made: Made) -> bool:
        """Whether a run may have made a condition true: what it made, or left unmade, is read by what has one."""
        graph = self._repository.asset_graph
        followers = (
            child for name in made.assets for child in graph.get(dg.AssetKey.from_user_string(name)).child_keys
        )
        return not made.success or not made.assets or any(graph.get(key).automation_condition for key in followers)

    def tick(self, name: str) -> list[Made]:
        """Tick one sensor, whether it is left or not."""
        return self._tick([self._repository.get_sensor_def(name)])

    def schedules(self, after: datetime, until: datetime) -> list[Made]:
        """Evaluate what is due after `after` and up to `until`, in the order of time, and settle after each."""
        due = [(at, schedule) for schedule in self._schedules for at in _times(schedule, after, until)]
        files = [sensor.name for sensor in self._outside]
        made: list[Made] = []
        for at, schedule in sorted(due, key=lambda pair: (pair[0], pair[1].name)):
            resources = self._resources(schedule.required_resource_keys)
            with dg.build_schedule_context(self.instance, at, resources, self._repository) as context:
                # It would open another one, which knows nothing yet.
                context._instance = self.instance
                requests = schedule.evaluate_tick(context).run_requests or []
            origin = {SCHEDULE_NAME_TAG: schedule.name, "dagster/scheduled_execution_time": at.isoformat()}
            job = schedule.job_name or IMPLICIT_JOB
            asked = self.runs.make([Asked(schedule.name, r, r.job_name or job, origin) for r in requests])
            made += asked + (self.settle(leave_out=files) if asked else [])
        return made

    def _tick(self, sensors: Sequence[dg.SensorDefinition]) -> list[Made]:
        """Evaluate `sensors`, make what they ask for, and then keep their cursors."""
        asked: list[Asked] = []
        cursors: dict[str, str] = {}
        for sensor in sensors:
            key = f"ml_platform/replay/{sensor.name}"
            cursor = self.instance.daemon_cursor_storage.get_cursor_values({key}).get(key)
            found = self._evaluate(sensor, cursor)
            job = (sensor.job_name if sensor.has_jobs else None) or IMPLICIT_JOB
            origin = {SENSOR_NAME_TAG: sensor.name}
            asked += [Asked(sensor.name, r, r.job_name or job, origin) for r in found.run_requests or []]
            if found.cursor and found.cursor != cursor:
                cursors[key] = found.cursor
        made = self.runs.make(asked)
        self._news |= any(map(self._is_followed, made))
        if cursors:
            self.instance.daemon_cursor_storage.set_cursor_values(cursors)
        return made

    def _evaluate(self, sensor: dg.SensorDefinition, cursor: str | None) -> Any:
        context = dg.build_sensor_context(
            instance=self.instance,
            cursor=cursor,
            repository_def=self._repository,
            sensor_name=sensor.name,
            resources=self._resources(sensor.required_resource_keys),
        )
        try:
            with context:
                return sensor.evaluate_tick(context)
        except Exception as error:
            raise JobError(f"The sensor {sensor.name} failed: {error}") from error

    def _resources(self, wanted: set[str]) -> dict[str, Any]:
        known = self._repository.get_top_level_resources()
        return {name: known[name] for name in get_transitive_required_resource_keys(wanted, known)}


def _times(schedule: dg.ScheduleDefinition, after: datetime, until: datetime) -> Iterator[datetime]:
    times = schedule_execution_time_iterator(
        after.timestamp(), schedule.cron_schedule, schedule.execution_timezone or "UTC"
    )
    for at in times:
        if at > until:
            return
        if at > after:
            yield at
