"""A small lake of real days for tests and CI: `python -m ml_platform_tests.fixture_lake` makes it in the home."""

from collections.abc import Sequence
from datetime import date

import dagster as dg

from ml_platform.core import keys
from ml_platform.core.keys import AssetPath
from ml_platform.definitions import defs
from ml_platform.runs import ENDINGS, materialise
from ml_platform.settings import Settings
from ml_platform.upstream import SNAPSHOTS, land

DAYS = ("2013-01-01", "2013-01-12")
DAILY = (keys.lake("flights"), keys.lake("weather"), keys.features("flight_delays"))


def make_lake() -> None:
    """Land the days and compute every lake and feature table with the real graph, on an instance that nobody keeps."""
    land(Settings().lake_uri, date.fromisoformat(DAYS[0]), date.fromisoformat(DAYS[1]))
    with dg.DagsterInstance.ephemeral() as instance:
        compute(instance, [keys.lake(source) for source in SNAPSHOTS])
        compute(instance, DAILY, DAYS)


def compute(instance: dg.DagsterInstance, paths: Sequence[AssetPath], days: tuple[str, str] | None = None) -> None:
    """One run of the code location; raises JobError when it fails, by a check for example."""
    materialise(instance, defs(), paths, _tell, days)


def _tell(step: str, event: str) -> None:
    if event in ENDINGS:
        print(f"{step} {event}", flush=True)


if __name__ == "__main__":
    make_lake()
