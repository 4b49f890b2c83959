"""The whole year through the real graph, in a folder of its own."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic

import dagster as dg

from ml_platform.components.declared import PRODUCTS, declared_product
from ml_platform.components.model_product import product_definitions
from ml_platform.core import keys
from ml_platform.core.keys import AssetPath
from ml_platform.core.product import ProductSpec
from ml_platform.definitions import deployed
from ml_platform.runs import ENDINGS, materialise
from ml_platform.services import prepare_home
from ml_platform.settings import Settings
from ml_platform.upstream import SNAPSHOTS, land

YEAR = ("2013-01-01", "2013-12-31")
PRODUCT = "flight_delays"


class Year:
    """A home in which parts of the graph are materialised and timed."""

    def __init__(self, home: Path, product: ProductSpec) -> None:
        self.settings = Settings(home=home)
        prepare_home(self.settings)
        self.instance = dg.DagsterInstance.get()
        self.definitions = deployed(product_definitions(product, PRODUCTS / PRODUCT), self.settings)
        self.seconds: dict[str, float] = {}

    def materialise(self, *paths: AssetPath, days: tuple[str, str] | None = None) -> None:
        """Materialise `paths`; the seconds of each step are kept in `seconds`."""
        begun: dict[str, float] = {}

        def tell(step: str, event: str) -> None:
            begun.setdefault(step, monotonic())
            if event in ENDINGS:
                self.seconds[step] = monotonic() - begun[step]
                print(f"  {step} {event} after {self.seconds[step]:.0f} s", flush=True)

        materialise(self.instance, self.definitions, paths, tell, days)

    def build_tables(self) -> None:
        """Land, ingest and compute the features of every day of the year, one job a table."""
        land(self.settings.lake_uri, date.fromisoformat(YEAR[0]), date.fromisoformat(YEAR[1]))
        self.materialise(*(keys.lake(source) for source in SNAPSHOTS))
        self.materialise(keys.lake("flights"), keys.lake("weather"), keys.features(PRODUCT), days=YEAR)

    def metadata(self, path: AssetPath) -> dict[str, object]:
        """What the latest materialisation of an asset shows."""
        event = self.instance.get_latest_materialization_event(dg.AssetKey(path))
        found = event.asset_materialization if event else None
        return {name: entry.value for name, entry in found.metadata.items()} if found else {}


@contextmanager
def year(**model: object) -> Iterator[Year]:
    """A year in a temporary home, its product declared as it is but for `model`."""
    product = declared_product(PRODUCT)
    product = product.model_copy(update={"model": product.model.model_copy(update=model)})
    with TemporaryDirectory(prefix="ml_platform_bench_") as folder:
        yield Year(Path(folder), product)
