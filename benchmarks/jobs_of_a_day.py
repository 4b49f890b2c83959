"""How long the programs of one day take, each in a process of its own and in one that is warm: ratios of one run."""

from collections import defaultdict
from collections.abc import Mapping
from datetime import date, timedelta
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import monotonic
from typing import Any

import dagster as dg

from ml_platform.components.declared import PRODUCTS, declared_product
from ml_platform.components.model_product import product_definitions
from ml_platform.core import keys
from ml_platform.core.product import ProductSpec
from ml_platform.definitions import deployed
from ml_platform.gateways.build import build_gateways
from ml_platform.gateways.jobs import Jobs, Program, SubprocessJobs, WarmJobs
from ml_platform.replay.requests import replay_days
from ml_platform.runs import materialise
from ml_platform.services import prepare_home
from ml_platform.settings import Settings
from ml_platform.upstream import SNAPSHOTS, land

PRODUCT = "flight_delays"
FIRST, TRAINED_UNTIL, LAST = "2013-01-01", "2013-03-31", "2013-04-07"
DAYS_EACH = 3
DAILY = (keys.lake("flights"), keys.lake("weather"), keys.features(PRODUCT))
MONITORING = tuple(
    keys.monitoring(PRODUCT, table) for table in ("inference_log", "ground_truth", "drift", "performance")
)


class TimedJobs:
    """The programs of another place, and the seconds that each took, by the name of its table."""

    def __init__(self, jobs: Jobs) -> None:
        self._jobs = jobs
        self.seconds: dict[str, list[float]] = defaultdict(list)

    def run(
        self, context: dg.AssetExecutionContext | dg.AssetCheckExecutionContext, program: Program, request: Any
    ) -> dict:
        """See `Jobs.run`."""
        started = monotonic()
        report = self._jobs.run(context, program, request)
        self.seconds[Path(request.table_uri).name].append(monotonic() - started)
        return report


class Days:
    """A home with a quarter in its tables and a served model, to which one day after another is added."""

    def __init__(self, home: Path, product: ProductSpec) -> None:
        self._settings, self._product = Settings(home=home, replay_clock=True), product
        prepare_home(self._settings)
        self._gateways = build_gateways(self._settings)
        self._instance = dg.DagsterInstance.get()
        self._last = date.fromisoformat(LAST)

    def build(self) -> None:
        """Everything that is there before the first day is measured."""
        self._land(FIRST, LAST)
        run = self._graph(SubprocessJobs())
        run([keys.lake(source) for source in SNAPSHOTS])
        run(DAILY, (FIRST, LAST))
        window = {"__".join(keys.candidate(PRODUCT)): {"config": {"end": TRAINED_UNTIL}}}
        run([keys.candidate(PRODUCT), keys.champion(PRODUCT), keys.endpoint(PRODUCT)], None, window)

    def add_day(self, jobs: Jobs) -> None:
        """Land the next day and bring all tables up to it."""
        self._last += timedelta(days=1)
        day, run = self._last.isoformat(), self._graph(jobs)
        self._land(day, day)
        run(DAILY, (day, day))
        replay_days(self._gateways.lake, self._gateways.endpoints, self._product, day, day)
        run(MONITORING, (day, day))

    def end(self) -> None:
        """Stop the endpoint."""
        self._gateways.endpoints.delete(PRODUCT)

    def _land(self, first: str, last: str) -> None:
        land(self._settings.lake_uri, date.fromisoformat(first), date.fromisoformat(last))

    def _graph(self, jobs: Jobs) -> Any:
        definitions = deployed(product_definitions(self._product, PRODUCTS / PRODUCT), self._settings, jobs=jobs)

        def run(paths: Any, days: tuple[str, str] | None = None, config: Mapping[str, Any] | None = None) -> None:
            materialise(self._instance, definitions, paths, lambda _step, _event: None, days, config)

        return run


def main() -> None:
    """Print the median milliseconds of each program, cold and warm, and their ratio."""
    product = declared_product(PRODUCT)
    product = product.model_copy(update={"model": product.model.model_copy(update={"trials": 1})})
    with TemporaryDirectory(prefix="ml_platform_bench_") as folder, WarmJobs() as warm_jobs:
        days, cold, warm = Days(Path(folder), product), TimedJobs(SubprocessJobs()), TimedJobs(warm_jobs)
        try:
            days.build()
            days.add_day(warm_jobs)  # it starts Spark
            for _ in range(DAYS_EACH):
                days.add_day(cold)
                days.add_day(warm)
        finally:
            days.end()
    _print(cold.seconds, warm.seconds)


def _print(cold: Mapping[str, list[float]], warm: Mapping[str, list[float]]) -> None:
    medians = {table: (median(seconds), median(warm[table])) for table, seconds in cold.items()}
    medians["all"] = tuple(map(sum, zip(*medians.values(), strict=True)))  # pyright: ignore[reportArgumentType]
    print(f"{'program of one day':<26}{'cold ms':>9}{'warm ms':>9}{'ratio':>8}")
    for table, (alone, kept) in medians.items():
        print(f"{table:<26}{alone * 1000:>9.0f}{kept * 1000:>9.0f}{alone / kept:>8.1f}")


if __name__ == "__main__":
    main()
