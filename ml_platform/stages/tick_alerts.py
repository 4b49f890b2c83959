"""Whether a sensor or a schedule still ticks: not silent, not switched off, not failing tick after tick."""

from datetime import UTC, datetime, timedelta

import dagster as dg
from dagster._core.scheduler.instigation import InstigatorState, InstigatorStatus, InstigatorTick, TickStatus
from dagster._utils.schedules import schedule_execution_time_iterator

from ml_platform.gateways.alerts import Alert
from ml_platform.stages.run_alerts import first_line

MISSED_TICKS = 10
LEAST_SILENCE = timedelta(minutes=5)
"""A sensor is silent after MISSED_TICKS intervals, and not before this time."""

SCHEDULE_GRACE = timedelta(minutes=15)

FAILED_TICKS = 5
"""A sensor fails for good when this many ticks failed one after another; a schedule, at its first."""

DEFAULT_INTERVAL = 30

_ENDED = [TickStatus.SUCCESS, TickStatus.SKIPPED, TickStatus.FAILURE]

Instigator = dg.SensorDefinition | dg.ScheduleDefinition


def alert_of(
    instance: dg.DagsterInstance,
    definition: Instigator,
    state: InstigatorState | None,
    now: datetime,
    watching_since: datetime,
    ui: str,
) -> Alert | None:
    """The alert of an instigator that should tick and does not.

    `state` is what the instance knows of it (None: it never ticked); silence counts from `watching_since` at most.
    """
    if not _should_run(definition):
        return None
    last = _ticks(instance, state, 1)
    heard = datetime.fromtimestamp(last[0].timestamp, UTC) if last else None
    since = f"The last tick was at {heard:%Y-%m-%d %H:%M:%S} UTC." if heard else "It never ticked."
    name, link = definition.name, _link(ui, state, definition)
    stamp = last[0].timestamp if last else 0
    if state and state.status == InstigatorStatus.STOPPED:
        what = "Somebody switched it off in the UI or by the command line: nothing follows by itself through it."
        return Alert("sensor", f"off:{name}:{stamp}", f"{name} is switched off", what, since, link, heard or now)
    due = _due(definition, now, watching_since)
    if due and (heard is None or heard < due):
        what = f"It should have ticked since {due:%Y-%m-%d %H:%M:%S} UTC: look at the daemon and the code location."
        return Alert("sensor", f"silent:{name}:{stamp}", f"{name} stopped ticking", what, since, link, heard or now)
    return _failing(instance, definition, state, link)


def _should_run(definition: Instigator) -> bool:
    return definition.default_status in (dg.DefaultSensorStatus.RUNNING, dg.DefaultScheduleStatus.RUNNING)


def _due(definition: Instigator, now: datetime, watching_since: datetime) -> datetime | None:
    """A tick since this time is missed if there was none; None while it is too early to say."""
    if isinstance(definition, dg.SensorDefinition):
        interval = timedelta(seconds=definition.minimum_interval_seconds or DEFAULT_INTERVAL)
        due = now - max(MISSED_TICKS * interval, LEAST_SILENCE)
    else:
        times = schedule_execution_time_iterator(
            (now - SCHEDULE_GRACE).timestamp(),
            definition.cron_schedule,
            definition.execution_timezone or "UTC",
            ascending=False,
        )
        due = next(iter(times)).astimezone(UTC)
    return due if due >= watching_since else None


def _failing(
    instance: dg.DagsterInstance, definition: Instigator, state: InstigatorState | None, link: str
) -> Alert | None:
    most = FAILED_TICKS if isinstance(definition, dg.SensorDefinition) else 1
    ticks = _ticks(instance, state, most, _ENDED)
    if len(ticks) < most or any(tick.status != TickStatus.FAILURE for tick in ticks):
        return None
    good = _ticks(instance, state, 1, [TickStatus.SUCCESS, TickStatus.SKIPPED])
    name = definition.name
    return Alert(
        "sensor",
        # Once for all failures after the last good tick.
        f"failing:{name}:{good[0].timestamp if good else 0}",
        f"{name} fails",
        f"Its last {most} ticks failed." if most > 1 else "Its last tick failed.",
        first_line(ticks[0].error),
        link,
        datetime.fromtimestamp(ticks[0].timestamp, UTC),
    )


def _ticks(
    instance: dg.DagsterInstance, state: InstigatorState | None, limit: int, statuses: list[TickStatus] | None = None
) -> list[InstigatorTick]:
    if state is None:
        return []
    return list(instance.get_ticks(state.instigator_origin_id, state.selector_id, limit=limit, statuses=statuses))


def _link(ui: str, state: InstigatorState | None, definition: Instigator) -> str:
    if state is None:
        return f"{ui}/automation"
    place = state.repository_selector
    kind = "sensors" if isinstance(definition, dg.SensorDefinition) else "schedules"
    return f"{ui}/locations/{place.repository_name}@{place.location_name}/{kind}/{definition.name}"
