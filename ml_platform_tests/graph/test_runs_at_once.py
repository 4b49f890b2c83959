"""Runs of a replay that do not need one another are made at the same time; the others one after the other."""

import logging
import os
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from pathlib import Path

import dagster as dg
import pytest

from ml_platform.replay.running import IMPLICIT_JOB, Asked, Made, Runs
from ml_platform.replay.storage import quick_instance

SECONDS = 60


class Toy:
    """Two sources and a table that reads both; `at` says when each begins and ends."""

    def __init__(self, instance: dg.DagsterInstance, sources_meet: bool, seconds: float = SECONDS) -> None:
        self._seconds = seconds
        self.at: list[str] = []
        self.told: list[Made] = []
        self.interrupted = False
        self._meeting = threading.Barrier(2 if sources_meet else 1)
        repository = dg.Definitions([self._source("flights"), self._source("weather"), self._table()])
        self._runs = Runs(instance, repository.get_repository_def(), self.told.append)

    def make(self, *names: str) -> list[Made]:
        requests = [dg.RunRequest(run_key=name, asset_selection=[dg.AssetKey(name)]) for name in names]
        return self._runs.make(
            [Asked("landing", r, IMPLICIT_JOB, {"dagster/sensor_name": "landing"}) for r in requests]
        )

    def _source(self, name: str) -> dg.AssetsDefinition:
        @dg.asset(name=name)
        def source() -> None:
            self.at.append(f"{name} begins")
            self._meeting.wait(self._seconds)
            if self.interrupted:
                if name == "flights":
                    os.kill(os.getpid(), signal.SIGINT)
                raise ValueError("its program was interrupted")
            self.at.append(f"{name} ends")

        return source

    def _table(self) -> dg.AssetsDefinition:
        @dg.asset(deps=["flights", "weather"])
        def table() -> None:
            self.at += ["table begins", "table ends"]

        return table


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    (tmp_path / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    with quick_instance(tmp_path) as instance:
        yield instance


def test_two_sources_are_made_at_once_and_told_in_the_order_in_which_they_were_asked_for(
    instance: dg.DagsterInstance,
) -> None:
    toy = Toy(instance, sources_meet=True)
    made = toy.make("flights", "weather")
    assert [(each.assets, each.success) for each in made] == [(("flights",), True), (("weather",), True)]
    assert toy.told == made


def test_a_run_does_not_wait_for_what_another_logs_and_leaves_its_handlers_open(tmp_path: Path) -> None:
    (tmp_path / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    with dg.DagsterInstance.from_config(str(tmp_path)) as instance:
        toy = Toy(instance, sources_meet=False)
        handler = logging.FileHandler(tmp_path / "log")
        try:
            with ThreadPoolExecutor(1) as another, handler.lock or nullcontext():
                assert another.submit(toy.make, "flights").result(SECONDS)[0].success
            assert handler.stream and not handler.stream.closed
        finally:
            handler.close()


def test_runs_whose_output_dagster_captures_by_turning_this_process_s_streams_are_never_at_once(tmp_path: Path) -> None:
    (tmp_path / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    with dg.DagsterInstance.from_config(str(tmp_path)) as instance:
        toy = Toy(instance, sources_meet=True, seconds=1)
        assert [each.success for each in toy.make("flights", "weather")] == [False, False]
        assert toy.at == ["flights begins", "weather begins"]


def test_what_reads_another_waits_for_it(instance: dg.DagsterInstance) -> None:
    toy = Toy(instance, sources_meet=False)
    toy.make("flights", "table")
    toy.make("table", "weather")
    ended = ["flights begins", "flights ends", "table begins", "table ends", "weather begins", "weather ends"]
    assert toy.at == ended  # the table was made already


def test_runs_that_are_interrupted_together_are_made_again_by_the_next_process(instance: dg.DagsterInstance) -> None:
    toy = Toy(instance, sources_meet=True)
    toy.interrupted = True
    with pytest.raises(KeyboardInterrupt):
        toy.make("flights", "weather")
    assert {run.status for run in instance.get_runs()} == {dg.DagsterRunStatus.CANCELED}
    assert all(each.success for each in Toy(instance, sources_meet=True).make("flights", "weather"))


def test_the_events_of_runs_that_were_made_at_once_are_all_there_for_dagsters_own(
    instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    made = Toy(instance, sources_meet=True).make("flights", "weather")
    with dg.DagsterInstance.from_config(str(tmp_path)) as own:
        for each in made:
            kinds = [e.dagster_event_type for e in own.all_logs(each.run_id) if e.dagster_event]
            assert kinds[0] == dg.DagsterEventType.ASSET_MATERIALIZATION_PLANNED
            assert dg.DagsterEventType.RUN_SUCCESS in kinds
            assert own.get_latest_materialization_event(dg.AssetKey(each.assets[0]))
