"""A run that Dagster was to start again and forgot is asked for again; no other is, and not for ever."""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta

import dagster as dg
import pytest

from ml_platform.stages import retries

TO_RETRY = {"dagster/will_retry": "true"}


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield instance


@dg.job
def nothing() -> None: ...


def failed(instance: dg.DagsterInstance, tags: Mapping[str, str]) -> dg.DagsterRun:
    run = instance.create_run_for_job(nothing)
    instance.report_run_failed(run)
    instance.add_run_tags(run.run_id, tags)
    found = instance.get_run_by_id(run.run_id)
    assert found
    return found


def failures(instance: dg.DagsterInstance, run: dg.DagsterRun) -> int:
    return len(instance.get_records_for_run(run.run_id, of_type=dg.DagsterEventType.RUN_FAILURE).records)


def tick(instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch) -> None:
    """A tick a minute later, for which no run has failed just now."""
    monkeypatch.setattr(retries, "PATIENCE", timedelta(seconds=-60))
    retries.build().evaluate_tick(dg.build_sensor_context(instance=instance))


def test_a_forgotten_run_fails_once_more_so_that_the_daemon_sees_it(instance, monkeypatch):
    run = failed(instance, TO_RETRY)
    tick(instance, monkeypatch)
    assert failures(instance, run) == 2


@pytest.mark.parametrize("tags", [{}, {"dagster/will_retry": "false"}, TO_RETRY | {"dagster/auto_retry_run_id": "a"}])
def test_a_run_that_was_started_again_or_is_not_to_be_is_left_alone(instance, monkeypatch, tags):
    run = failed(instance, tags)
    tick(instance, monkeypatch)
    assert failures(instance, run) == 1


def test_a_run_that_failed_just_now_is_left_to_the_daemon(instance):
    failed(instance, TO_RETRY)
    now = datetime.now(UTC)
    assert retries.forgotten_runs(instance, now) == []
    assert retries.forgotten_runs(instance, now + retries.PATIENCE + timedelta(seconds=5)) != []


def test_a_run_that_dagster_does_not_want_to_start_again_is_asked_for_a_few_times_only(instance, monkeypatch):
    run = failed(instance, TO_RETRY)
    for _ in range(10):
        tick(instance, monkeypatch)
    assert failures(instance, run) == 1 + retries.MOST_ASKED
