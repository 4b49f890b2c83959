"""Evaluates the real sensors and schedules in one process, as Dagster's daemon does, and makes what they ask for."""

import logging
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from typing import Any

import dagster as dg
from dagster._core.definitions.repository_definition import RepositoryDefinition
from dagster._core.errors import DagsterExecutionInterruptedError
from dagster._core.execution.resources_init import get_transitive_required_resource_keys
from dagster._core.storage.tags import RUN_KEY_TAG, SCHEDULE_NAME_TAG, SENSOR_NAME_TAG
from dagster._utils.schedules import schedule_execution_time_iterator

from ml_platform.errors import JobError
from ml_platform.gateways.run_launcher import PROCESS_TAG
from ml_platform.processes import identity
from ml_platform.runs import RANGE_TAGS, end_abandoned

ROUNDS = 40
"""Ticks of every sensor before it is an error that they still ask for something."""

IMPLICIT_JOB = "__ASSET_JOB"
QUIET: dict[str, Any] = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


@dataclass(frozen=True)
class Made:
    """A run that was made because a sensor or a schedule asked for it."""

    asked_by: str
    run_id: str
    assets: tuple[str, ...]
    """Empty for a whole job."""
    job: str
    partitions: str
    tags: Mapping[str, str]
    success: bool
    seconds: float

    def __str__(self) -> str:
        what = ", ".join(self.assets) or self.job
        return f"{self.asked_by} asked for {what} {self.partitions}".rstrip() + ("" if self.success else " (failed)")


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
        self._repository = definitions.get_repository_def()
        self._tell = tell
        by_default = [s for s in self._repository.sensor_defs if s.default_status == dg.DefaultSensorStatus.RUNNING]
        # Files first: what they change is what the others wait for.
        running = (sensor for sensor in by_default if sensor.name not in leave)
        self._sensors = sorted(running, key=lambda sensor: sensor.name not in outside)
        self._schedules = [
            schedule
            for schedule in self._repository.schedule_defs
            if schedule.default_status == dg.DefaultScheduleStatus.RUNNING and schedule.name not in leave
        ]
        self._outside = frozenset(outside)
        self._keys_used: set[tuple[str, str]] = set()
        self._identity = identity()

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
        at_rest = set(leave_out)
        for _ in range(rounds):
            busy = []
            for sensor in self._sensors:
                if sensor.name in at_rest:
                    continue
                at_rest.add(sensor.name)
                if asked := self._tick(sensor):
                    # What a run changed may concern any sensor that looks at more than files.
                    at_rest = (at_rest & self._outside) - {sensor.name}
                    busy += asked
                    if any(map(enough, asked)):
                        return made + busy
            made += busy
            if not busy:
                return made
        raise JobError(
            f"The sensors do not come to rest in {rounds} rounds; in the last one "
            + "; ".join(str(run) for run in busy[:5])
        )

    def tick(self, name: str) -> list[Made]:
        """Tick one sensor, whether it is left or not."""
        return self._tick(self._repository.get_sensor_def(name))

    def schedules(self, after: datetime, until: datetime) -> list[Made]:
        """Evaluate what is due after `after` and up to `until`, in the order of time, and settle after each."""
        due = sorted(
            (at, schedule.name, schedule) for schedule in self._schedules for at in _times(schedule, after, until)
        )
        made: list[Made] = []
        for at, name, schedule in due:
            resources = self._resources(schedule.required_resource_keys)
            with dg.build_schedule_context(self.instance, at, resources, self._repository) as context:
                requests = schedule.evaluate_tick(context).run_requests or []
            origin = {SCHEDULE_NAME_TAG: name, "dagster/scheduled_execution_time": at.isoformat()}
            asked = [run for r in requests for run in self._make(name, r, r.job_name or schedule.job_name, origin)]
            made += asked + (self.settle(leave_out=self._outside) if asked else [])
        return made

    def _tick(self, sensor: dg.SensorDefinition) -> list[Made]:
        cursor_key = f"ml_platform/replay/{sensor.name}"
        storage = self.instance.daemon_cursor_storage
        cursor = storage.get_cursor_values({cursor_key}).get(cursor_key)
        context = dg.build_sensor_context(
            instance=self.instance,
            cursor=cursor,
            repository_def=self._repository,
            sensor_name=sensor.name,
            resources=self._resources(sensor.required_resource_keys),
        )
        with context:
            try:
                found = sensor.evaluate_tick(context)
            except Exception as error:
                raise JobError(f"The sensor {sensor.name} failed: {error}") from error
        made: list[Made] = []
        for request in found.run_requests or []:
            job = request.job_name or (sensor.job_name if sensor.has_jobs else None)
            made += self._make(sensor.name, request, job, {SENSOR_NAME_TAG: sensor.name})
        for event in found.asset_events:
            self.instance.report_runless_asset_event(event)
        if found.cursor and found.cursor != cursor:
            storage.set_cursor_values({cursor_key: found.cursor})
        return made

    def _resources(self, wanted: set[str]) -> dict[str, Any]:
        known = self._repository.get_top_level_resources()
        return {name: known[name] for name in get_transitive_required_resource_keys(wanted, known)}

    def _make(self, asked_by: str, request: dg.RunRequest, job: str | None, origin: Mapping[str, str]) -> list[Made]:
        job = job or IMPLICIT_JOB
        if request.requires_backfill_daemon():
            return [self._run(asked_by, part, job, origin) for part in _ranged(request, self._repository)]
        if self._was_made(asked_by, request, origin):
            return []
        return [self._run(asked_by, request, job, origin)]

    def _was_made(self, asked_by: str, request: dg.RunRequest, origin: Mapping[str, str]) -> bool:
        """Whether a run of this key exists, as the daemon asks; one that was interrupted or killed does not count."""
        if not request.run_key:
            return False
        if (asked_by, request.run_key) in self._keys_used:
            return True
        runs = self.instance.get_runs(dg.RunsFilter(tags={RUN_KEY_TAG: request.run_key}))
        mine = [run for run in runs if run.tags.items() >= {n: v for n, v in origin.items() if "name" in n}.items()]
        return any(not self._was_cut(run) for run in mine)

    def _was_cut(self, run: dg.DagsterRun) -> bool:
        if run.status != dg.DagsterRunStatus.FAILURE:
            return run.status == dg.DagsterRunStatus.CANCELED
        records = self.instance.get_records_for_run(run.run_id, of_type=dg.DagsterEventType.STEP_FAILURE).records
        events = [record.event_log_entry.dagster_event for record in records]
        return not events or _interrupted(events)

    def _run(self, asked_by: str, request: dg.RunRequest, job_name: str, origin: Mapping[str, str]) -> Made:
        tags = {**request.tags, **origin, PROCESS_TAG: self._identity}
        if request.run_key:
            self._keys_used.add((asked_by, request.run_key))
            tags[RUN_KEY_TAG] = request.run_key
        job = self._repository.get_job(job_name)
        if request.asset_check_keys is not None:
            job = job.get_subset(
                asset_selection=frozenset(request.asset_selection or []),
                asset_check_selection=frozenset(request.asset_check_keys),
            )
        whole = request.asset_check_keys is not None or request.asset_selection is None
        started = time.monotonic()
        result = job.execute_in_process(
            run_config=QUIET | dict(request.run_config),
            instance=self.instance,
            asset_selection=None if whole else list(request.asset_selection or []),
            tags=tags,
            raise_on_error=False,
        )
        if _interrupted(result.get_step_failure_events()):
            # Dagster records Ctrl-C and SIGTERM as a failure of the step and goes on.
            raise KeyboardInterrupt
        made = Made(
            asked_by=asked_by,
            run_id=result.run_id,
            assets=tuple(sorted(key.to_user_string() for key in request.asset_selection or [])),
            job=job_name,
            partitions=request.partition_key or _range(tags),
            tags=tags,
            success=result.success,
            seconds=time.monotonic() - started,
        )
        self._tell(made)
        return made


def _interrupted(failures: Sequence[dg.DagsterEvent | None]) -> bool:
    errors = [event.step_failure_data.error for event in failures if event]
    return any(error and error.cls_name == DagsterExecutionInterruptedError.__name__ for error in errors)


def _range(tags: Mapping[str, str]) -> str:
    ends = [tags[name] for name in RANGE_TAGS if name in tags] or [tags.get("dagster/partition", "")]
    return " to ".join(dict.fromkeys(ends))


def _times(schedule: dg.ScheduleDefinition, after: datetime, until: datetime) -> Iterator[datetime]:
    times = schedule_execution_time_iterator(
        after.timestamp(), schedule.cron_schedule, schedule.execution_timezone or "UTC"
    )
    for at in times:
        if at > until:
            return
        if at > after:
            yield at


def _ranged(request: dg.RunRequest, repository: RepositoryDefinition) -> Iterator[dg.RunRequest]:
    """What the daemon would make a backfill of: parents first, one run for each range of days without a gap."""
    graph, subset = repository.asset_graph, request.asset_graph_subset
    assert subset is not None
    for key in graph.toposorted_asset_keys:
        if key not in subset.asset_keys:
            continue
        definition = graph.get(key).partitions_def
        if definition is None:
            yield dg.RunRequest(asset_selection=[key], tags=request.tags, run_config=request.run_config)
            continue
        wanted = set(subset.partitions_subsets_by_asset_key[key].get_partition_keys())
        every = definition.get_partition_keys()
        for is_wanted, group in groupby(every, key=wanted.__contains__):
            if is_wanted:
                ends = list(group)
                tags = {**request.tags, **dict(zip(RANGE_TAGS, (ends[0], ends[-1]), strict=True))}
                yield dg.RunRequest(asset_selection=[key], tags=tags, run_config=request.run_config)
