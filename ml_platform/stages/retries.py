"""A sensor that sees to it that the runs whose process died are done again."""

from datetime import UTC, datetime, timedelta

import dagster as dg
from dagster._core.storage.tags import AUTO_RETRY_RUN_ID_TAG, WILL_RETRY_TAG

SECONDS = 30
PATIENCE = timedelta(seconds=30)
"""How long Dagster may take to start a failed run again by itself."""

LOOK_BACK = timedelta(days=1)

MOST_ASKED = 3
"""Dagster has reasons of its own not to start a run again, such as a backfill that was cancelled."""


def build() -> dg.SensorDefinition:
    """The sensor `retries` of a code location.

    Dagster's daemon looks at a failed run once, when its failure appears in the log of events. The run's record says so
    a moment later: when the daemon is quicker, it takes the run for one that has not failed, and forgets it.
    """

    @dg.sensor(
        name="retries",
        description="Asks again for the runs that Dagster was to start again and did not.",
        minimum_interval_seconds=SECONDS,
        default_status=dg.DefaultSensorStatus.RUNNING,
    )
    def retries(context: dg.SensorEvaluationContext) -> dg.SkipReason:
        forgotten = forgotten_runs(context.instance, datetime.now(UTC))
        for run in forgotten:
            context.instance.report_run_failed(run, "This run was to be started again and was not: asked once more")
        return dg.SkipReason(f"{len(forgotten)} runs were to be started again and were not")

    return retries


def forgotten_runs(instance: dg.DagsterInstance, now: datetime) -> list[dg.DagsterRun]:
    """The failed runs that are marked to be started again, were not for a while, and were not asked for too often."""
    failed = instance.get_runs(
        dg.RunsFilter(
            statuses=[dg.DagsterRunStatus.FAILURE],
            tags={WILL_RETRY_TAG: "true"},
            updated_after=now - LOOK_BACK,
            updated_before=now - PATIENCE,
        )
    )
    waiting = [run for run in failed if AUTO_RETRY_RUN_ID_TAG not in run.tags]
    return [run for run in waiting if _failures(instance, run) <= MOST_ASKED]


def _failures(instance: dg.DagsterInstance, run: dg.DagsterRun) -> int:
    found = instance.get_records_for_run(run.run_id, of_type=dg.DagsterEventType.RUN_FAILURE)
    return len(found.records)
