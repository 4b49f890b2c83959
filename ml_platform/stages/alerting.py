"""The sensors that raise alerts: of what ended runs recorded, and of sensors and schedules that stopped ticking.

Both look at what is recorded now; the key of an alert comes from what it is about, so a lost cursor repeats nothing.
The daemon evaluates them: when it is down, Dagster's UI says so (Deployment > Daemons), and no alert does.
"""

import json
from datetime import UTC, datetime, timedelta

import dagster as dg

from ml_platform.gateways.alerts import Alert, Alerts
from ml_platform.settings import Settings
from ml_platform.stages.run_alerts import alerts_of
from ml_platform.stages.tick_alerts import alert_of

SECONDS = 30
WATCH_SECONDS = 60

LOOK_BACK = timedelta(days=1)
"""How far the first look goes back, and one whose cursor was lost."""

OVERLAP = timedelta(minutes=1)
"""A run's time of update is taken before it is visible: what was updated this long ago is looked at again."""

RUNS_A_TICK = 200
GAP_SECONDS = 3 * WATCH_SECONDS

_ENDED = [dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED]


def build() -> list[dg.SensorDefinition]:
    """The sensors `alerts` and `alerts_watch` of a code location, for all of its products."""
    return [_alerts(), _watch()]


def _alerts() -> dg.SensorDefinition:
    @dg.sensor(
        name="alerts",
        description="Alerts of failed runs, failed ERROR checks, refused files and decisions; tells what is untold.",
        minimum_interval_seconds=SECONDS,
        default_status=dg.DefaultSensorStatus.RUNNING,
    )
    def alerts(
        context: dg.SensorEvaluationContext, alerts: dg.ResourceParam[Alerts], settings: dg.ResourceParam[Settings]
    ) -> dg.SkipReason:
        since = datetime.fromisoformat(context.cursor) if context.cursor else datetime.now(UTC) - LOOK_BACK
        ended = context.instance.get_run_records(
            dg.RunsFilter(statuses=_ENDED, updated_after=since),
            limit=RUNS_A_TICK,
            order_by="update_timestamp",
            ascending=True,
        )
        new = 0
        for record in ended:
            for alert in alerts_of(context.instance, record, settings.dagster_ui):
                new += _raise(context, alerts, alert)
        if ended:
            last = ended[-1].update_timestamp.replace(tzinfo=UTC)
            # A full page must not end in the same page again.
            context.update_cursor((last if len(ended) == RUNS_A_TICK else max(last - OVERLAP, since)).isoformat())
        return _told(context, alerts, f"{len(ended)} runs ended lately; {new} new alerts")

    return alerts


def _watch() -> dg.SensorDefinition:
    @dg.sensor(
        name="alerts_watch",
        description="Alerts of sensors and schedules that stopped ticking, were switched off or keep failing.",
        minimum_interval_seconds=WATCH_SECONDS,
        default_status=dg.DefaultSensorStatus.RUNNING,
    )
    def alerts_watch(
        context: dg.SensorEvaluationContext, alerts: dg.ResourceParam[Alerts], settings: dg.ResourceParam[Settings]
    ) -> dg.SkipReason:
        now = datetime.now(UTC)
        since = _watching_since(context.cursor, now)
        context.update_cursor(json.dumps({"since": since.timestamp(), "looked": now.timestamp()}))
        states = {state.instigator_name: state for state in context.instance.all_instigator_state()}
        repository = context.repository_def
        watched = [*repository.sensor_defs, *repository.schedule_defs] if repository else []
        new = 0
        for definition in watched:
            state = states.get(definition.name)
            if definition.name == "alerts_watch":
                continue
            if alert := alert_of(context.instance, definition, state, now, since, settings.dagster_ui):
                new += _raise(context, alerts, alert)
        return _told(context, alerts, f"{len(watched)} sensors and schedules; {new} new alerts")

    return alerts_watch


def _watching_since(cursor: str | None, now: datetime) -> datetime:
    """Since when this sensor looks without a gap: while the daemon was down, all was silent."""
    last = json.loads(cursor) if cursor else None
    if last is None or now.timestamp() - last["looked"] > GAP_SECONDS:
        return now
    return datetime.fromtimestamp(last["since"], UTC)


def _raise(context: dg.SensorEvaluationContext, alerts: Alerts, alert: Alert) -> bool:
    new = alerts.send(alert)
    if new:
        context.log.warning("new alert (%s): %s", alert.kind, alert.key)
    return new


def _told(context: dg.SensorEvaluationContext, alerts: Alerts, found: str) -> dg.SkipReason:
    failed = alerts.deliver()
    if failed:
        context.log.warning("did not take an alert, tried again at the next tick: address %s", ", ".join(failed))
    return dg.SkipReason(found + (f"; not told: address {', '.join(failed)}" if failed else ""))
