"""The line of the end-to-end tests, kept by real services: what lies there to be done, and what was done."""

import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import dagster as dg

from ml_platform.core import keys
from ml_platform.core.keys import AssetPath
from ml_platform.gateways.alerts import Alert
from ml_platform.replay.requests import replay_days
from ml_platform.stages import features, monitoring
from ml_platform.stages.attempts import Records, attempts, contents
from ml_platform.stages.backfills import table_gaps
from ml_platform.stages.conditions import stale_partitions
from ml_platform.stages.landing import changes
from ml_platform.stages.observed import state
from ml_platform.upstream import land_missing
from ml_platform_tests.e2e.line import COMPUTED, LANDED, PRODUCT, Line, copy_of
from ml_platform_tests.live.deployment import Deployment, deployment, eventually

LOCATION = "ml_platform_tests.live.line_location"
SECONDS = 600
"""Within which what was dropped has been done; generous, since the machine may be busy."""

FEATURES = keys.features(PRODUCT)
FLIGHTS, WEATHER = keys.lake("flights"), keys.lake("weather")
LOG, TRUTH, DRIFT, PERFORMANCE = (
    keys.monitoring(PRODUCT, table) for table in ("inference_log", "ground_truth", "drift", "performance")
)
DECISION = keys.retrain_decision(PRODUCT)
TABLES = (FLIGHTS, WEATHER, FEATURES, LOG, TRUTH, DRIFT, PERFORMANCE)

Spoil = Callable[[str], str]
Done = set[tuple[AssetPath, str]]


@dataclass(frozen=True)
class LiveLine:
    """A line and the deployment that keeps it."""

    line: Line
    deployed: Deployment

    @property
    def instance(self) -> dg.DagsterInstance:
        """The instance that daemon and runs share."""
        return self.line.instance

    def file(self, source: str, day: str) -> Path:
        """Where the file of a source lands."""
        return self.line.settings.home / "lake" / "landing" / source / day / f"{source}.csv"

    def next_day(self) -> str:
        """The day after the last that has features."""
        last = max(contents(self.instance, dg.AssetKey(FEATURES)))
        return days_after(last, 1)

    def drop(self, day: str, flights: Spoil | None = None) -> None:
        """What the upstream does: one day's files of flights, possibly spoiled, and weather."""
        drop(self.line.settings.home, day, flights)

    def score(self, day: str) -> int:
        """Ask the live endpoint about the flights of a day, which has its features; the number of requests."""
        return replay_days(self.line.gateways.lake, self.line.gateways.endpoints, self.line.product, day, day)

    def settled(self) -> None:
        """Wait until nothing is left to be done: all follows from what lies there, so nothing will be done later."""
        eventually(lambda: not self.to_do(), "everything is up to date", SECONDS, pause=1)

    def to_do(self) -> list[str]:
        """What is underway, or stale and free to be made."""
        found = [f"run {run.run_id}" for run in self.instance.get_runs() if not run.is_finished]
        return found or [*self._unread(), *self._stale()]

    def mark(self) -> int:
        """A place in the log of events; see `done_since`."""
        return self.instance.event_log_storage.get_maximum_record_id() or 0

    def done_since(self, mark: int, paths: tuple[AssetPath, ...] = TABLES) -> Done:
        """The partitions that were materialised after a mark."""
        return {
            (path, record.partition_key or "")
            for path in paths
            for record in self.instance.fetch_materializations(
                dg.AssetRecordsFilter(asset_key=dg.AssetKey(path), after_storage_id=mark), limit=1000
            ).records
        }

    def seconds(self, path: AssetPath, day: str, watch: "Stopwatch") -> str:
        """When a partition was last materialised, from the start of a watch."""
        wanted = dg.AssetRecordsFilter(asset_key=dg.AssetKey(path), asset_partitions=[day])
        [record] = self.instance.fetch_materializations(wanted, limit=1).records
        return f"{record.timestamp - watch.began:.0f} s"

    def contents(self, path: AssetPath) -> Mapping[str, str]:
        """The version of the content of each day of a table."""
        return contents(self.instance, dg.AssetKey(path))

    def outcome(self, path: AssetPath, day: str) -> str:
        """How the last attempt at a partition ended: passed, failed or refused; `none` without one."""
        attempt = attempts(self.instance, dg.AssetKey(path), [day]).get(day)
        return attempt.outcome if attempt else "none"

    def alerts(self) -> list[Alert]:
        """What was raised."""
        return self.line.gateways.alerts.kept()

    def _unread(self) -> Iterator[str]:
        lake, product = self.line.gateways.lake, self.line.product
        looks: dict[AssetPath, Callable[[], Mapping[str, str]]] = {
            keys.lake(name): lambda name=name: lake.landed(name) for name in product.daily_sources
        }
        looks[LOG] = lambda: lake.logged(product.name, product.timezone)
        for path, look in looks.items():
            yield from (f"{path} {day}" for day in changes(look(), attempts(self.instance, dg.AssetKey(path))))

    def _stale(self) -> Iterator[str]:
        product, records = self.line.product, Records(self.instance)
        for path, inputs in ({FEATURES: features.reads(product)} | monitoring.reads(product)).items():
            if any(upstream.followed for upstream in inputs.upstream):
                yield from (f"{path} {day}" for day in table_gaps(records, path, inputs))
        if stale_partitions(records, dg.AssetKey(DECISION), state(records, product)):
            yield "/".join(DECISION)


@contextmanager
def live_copy_of(line: Line, home: Path) -> Iterator[LiveLine]:
    """The line in another home, its endpoint and all services up, with nothing left to be done."""
    with copy_of(line, home) as copy:
        for path in (FLIGHTS, WEATHER):
            for day in days_between(days_after(COMPUTED[1], 1), LANDED[1]):
                shutil.rmtree(home / "lake" / "landing" / path[-1] / day, ignore_errors=True)
        copy.materialise([keys.endpoint(PRODUCT)])
        with deployment(copy.settings, LOCATION) as deployed:
            live = LiveLine(copy, deployed)
            live.settled()
            yield live


def drop(home: Path, day: str, flights: Spoil | None = None) -> None:
    """Drop one day's files of flights, possibly spoiled, and weather into the lake of a home, each whole at once."""
    upstream = home / "upstream"
    land_missing(upstream.as_uri(), date.fromisoformat(day), date.fromisoformat(day))
    for source in ("weather", "flights"):
        made, file = (root / "landing" / source / day / f"{source}.csv" for root in (upstream, home / "lake"))
        file.parent.mkdir(parents=True, exist_ok=True)
        unfinished = file.with_name(".unfinished")
        # With its time of change: weather that is dropped again is no news.
        shutil.copy2(made, unfinished)
        if flights and source == "flights":
            unfinished.write_text(flights(made.read_text()))
        unfinished.replace(file)


def days_after(day: str, number: int) -> str:
    """The day so many days after another."""
    return (date.fromisoformat(day) + timedelta(days=number)).isoformat()


def days_between(first: str, last: str) -> list[str]:
    """Both included."""
    count = (date.fromisoformat(last) - date.fromisoformat(first)).days + 1
    return [days_after(first, n) for n in range(count)]


class Stopwatch:
    """Seconds since something began, for what a test prints."""

    def __init__(self) -> None:
        self.began = time.time()

    def __str__(self) -> str:
        return f"{time.time() - self.began:.0f} s"
