"""Drives the real graph through past days: files land, a live endpoint answers, labels arrive, models are retrained."""

from collections import Counter
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from functools import cached_property
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import dagster as dg

from dbx_jobs.contract import Days
from ml_platform.core import keys
from ml_platform.core.product import ProductSpec
from ml_platform.errors import PlatformError
from ml_platform.gateways.build import Gateways
from ml_platform.replay import state as states
from ml_platform.replay.daemon import Daemon
from ml_platform.replay.endpoint_log import logged, wait_for_log
from ml_platform.replay.first import FirstModel
from ml_platform.replay.monthly import MonthlyModels, later_months
from ml_platform.replay.requests import replay_days
from ml_platform.replay.running import Made
from ml_platform.replay.state import State
from ml_platform.runs import materialise
from ml_platform.settings import Settings
from ml_platform.upstream import land_missing

if TYPE_CHECKING:
    from ml_platform.replay.report import Report

ALERTS, WATCH = "alerts", "alerts_watch"
ALERT_DAYS = 5
"""Alerts are raised after this many days of a month: nobody waits for those of a past year."""

WALL = "in all"
"""The time that a person waited, of which the others are parts."""

Tell = Callable[[str], None]


@dataclass
class Replay:
    """A replay of `product` from `start` to `end` on a home of its own; `run` again goes on where it stopped.

    `definitions` are the location's, with the gateways of `settings`. `day_done` is told each day that is done, `tell`
    what else a person wants to know.
    """

    settings: Settings
    instance: dg.DagsterInstance
    product: ProductSpec
    definitions: dg.Definitions
    gateways: Gateways
    start: date
    end: date
    tell: Tell = lambda _: None
    day_done: Callable[[date], None] = lambda _: None
    runs: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self._check_days()
        self.state: State = states.load(self.settings.home, self.product.name, self.start.isoformat())
        sources = [f"landing_{self.product.name}_{source}" for source in self.product.sources]
        self._landing, self._logged = frozenset(sources), frozenset({f"logged_{self.product.name}"})
        outside = self._landing | self._logged
        self._daemon = Daemon(self.instance, self.definitions, self._made, outside, self._not_driven())

    def run(self) -> None:
        """Prepare what stands before the first day, then live through the days that are not done."""
        # Says from the first moment on whose this home is.
        self._save()
        with self.state.timed(WALL):
            if self.state.first_version:
                self._serve()
            else:
                self._prepare()
        for day in self.days_left():
            with self.state.timed(WALL):
                self._live(day)
            self._save()
            self._monthly.begin(self._days_done())
            self.day_done(day)

    def close(self) -> None:
        """End what is under way beside the replay."""
        self._monthly.close()

    def days_left(self) -> list[date]:
        """The days that are not done."""
        first = date.fromisoformat(self.state.done) + timedelta(days=1) if self.state.done else self.start
        return [first + timedelta(days=n) for n in range((self.end - first).days + 1)]

    def report(self) -> "Report":
        """Judge what was done: all arms, decisions and costs."""
        from ml_platform.replay.arms import score_arms
        from ml_platform.replay.decisions import decisions
        from ml_platform.replay.figures import periods
        from ml_platform.replay.report import Report

        days, threads = self._days_done(), self.settings.training_threads
        with self.state.timed(WALL), self.state.timed("judge the other arms"):
            scored = score_arms(self.gateways.lake, self.product, days, self._first, threads, self._monthly, self.tell)
            self.tell("Compute the figures with their intervals")
            figures = periods(scored, self.product.model.seed)
        states.save(self.state, self.settings.home)
        return Report(
            product=self.product.name,
            start=days.start,
            end=days.end,
            periods=figures,
            decisions=decisions(self.instance, self.product, days.start, days.end),
            first_version=self.state.first_version,
            monthly_trainings=len(list(later_months(self.product, days))),
            seconds=self.state.seconds,
        )

    def _prepare(self) -> None:
        """Land and compute what was there before the first day, and train and deploy the first model on it."""
        before = self.start - timedelta(days=1)
        self.tell(f"Land {self.product.start} to {before} and let the sensors compute it")
        with self.state.timed("land"):
            land_missing(self.settings.lake_uri, self.product.start, before)
        self._settle()
        self.tell(f"Train the first model on {self.product.start} to {before} and deploy it")
        name = self.product.name
        window = {"__".join(keys.candidate(name)): {"config": {"end": before.isoformat()}}}
        with self.state.timed("first training"):
            self._materialise([keys.candidate(name), keys.champion(name), keys.endpoint(name)], window)
        self._settle()
        self.state.first_version = self._served()
        self._save()

    def _serve(self) -> None:
        """Deploy the champion if its endpoint does not answer, or was left half rolled out: both end with a machine."""
        found = self.gateways.endpoints.state(self.product.name)
        if found is None or found.status != "serving" or not found.settled:
            self._materialise([keys.endpoint(self.product.name)], {})

    def _live(self, day: date) -> None:
        """One day: its files land, its events are asked about, what follows is made, and the night's schedules come."""
        text = day.isoformat()
        if self.state.scored < text:
            with self.state.timed("land"):
                land_missing(self.settings.lake_uri, day, day)
            # In life the day's events were asked about before their outcomes landed: what is measured waits for both.
            self._settle(leave_out=self._logged, enough=self._makes_features)
            with self.state.timed("score"):
                self._score(text)
            self.state.scored = text
            self._save()
        self._settle(leave_out=self._landing)
        with self.state.timed("schedules"):
            self._daemon.schedules(self._midnight(day + timedelta(days=1)), self._midnight(day + timedelta(days=2)))
        if day == self.end or day.day % ALERT_DAYS == 0:
            with self.state.timed("alerts"):
                self._daemon.tick(ALERTS)
        self.state.done = text
        self._save()

    def _days_done(self) -> Days:
        return Days(self.start.isoformat(), self.state.done)

    @cached_property
    def _first(self) -> FirstModel:
        return FirstModel(self.settings.mlflow_tracking_uri, self.product.name, self.state.first_version)

    @cached_property
    def _monthly(self) -> MonthlyModels:
        return MonthlyModels(self.settings.home / "monthly", self.gateways.lake, self.product, self._first)

    def _not_driven(self) -> set[str]:
        """The alerts, told every few days, what goes by the wall clock, and what other products have."""
        repository = self.definitions.get_repository_def()
        every = [*repository.sensor_defs, *repository.schedule_defs]
        return {ALERTS, WATCH, f"endpoint_{self.product.name}"} | {
            each.name for each in every if each.tags.get("product", self.product.name) != self.product.name
        }

    def _makes_features(self, made: Made) -> bool:
        return "/".join(keys.features(self.product.name)) in made.assets

    def _score(self, day: str) -> None:
        endpoints, lake = self.gateways.endpoints, self.gateways.lake
        before = logged(lake, self.product, day)
        asked = replay_days(lake, endpoints, self.product, day, day)
        # The host writes its log after it answered; the next look at the log is to find the whole day.
        wait_for_log(lake, self.product, day, before + asked)

    def _settle(self, leave_out: Collection[str] = (), enough: Callable[[Made], bool] = lambda _: False) -> None:
        started, before = monotonic(), self._daemon.runs.seconds
        try:
            self._daemon.settle(leave_out=leave_out, enough=enough)
        finally:
            runs = self._daemon.runs.seconds - before
            self.state.add("sensors and conditions", monotonic() - started - runs)

    def _made(self, made: Made) -> None:
        for name in made.assets or (made.job,):
            self.runs[name] += 1
        self.state.add(" + ".join(made.assets) or made.job, made.seconds)
        reason = made.tags.get("ml_platform/decision")
        if reason or not made.success:
            self.tell(f"{made}: run {made.run_id[:8]}, {made.seconds:.0f} s")

    def _materialise(self, paths: list[keys.AssetPath], config: dict) -> None:
        materialise(self.instance, self.definitions, paths, lambda _step, _event: None, config=config)

    def _served(self) -> str:
        found = self.gateways.endpoints.state(self.product.name)
        if found is None or found.serving is None:
            raise PlatformError(f"endpoint {self.product.name!r} serves nothing: its first model was not deployed")
        return found.serving.model_version

    def _midnight(self, day: date) -> datetime:
        return datetime.combine(day, time(), ZoneInfo(self.product.timezone))

    def _save(self) -> None:
        states.save(self.state, self.settings.home)

    def _check_days(self) -> None:
        last = self.product.end or date.max
        if not self.product.start < self.start <= self.end <= last:
            raise PlatformError(
                f"A replay needs days before its first and lies within the product's, {self.product.start} to {last}; "
                f"got {self.start} to {self.end}"
            )


def replay_home(settings: Settings, product: str) -> Path:
    """Where a replay keeps its things by default: below the platform's home, so that it never mixes with live data."""
    return settings.home / "replay" / product
