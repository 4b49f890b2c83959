"""A short replay with a small model in a process of its own, for a test to interrupt: python -m ... HOME START END."""

import sys
from dataclasses import replace
from datetime import date
from pathlib import Path
from types import SimpleNamespace

from ml_platform.components.declared import PRODUCTS, declared_product
from ml_platform.components.model_product import ModelProduct
from ml_platform.definitions import deployed
from ml_platform.gateways.build import build_gateways
from ml_platform.gateways.jobs import WarmJobs
from ml_platform.replay.command import environment_of, replay_settings
from ml_platform.replay.lake import ReplayLake
from ml_platform.replay.replay import Replay
from ml_platform.replay.report import write_report
from ml_platform.replay.running import Made
from ml_platform.replay.storage import quick_instance
from ml_platform.services import prepare_home
from ml_platform_tests.e2e.line import PRODUCT, smaller


class Told(Replay):
    """Prints each run and day, so that a test knows when to strike."""

    def _made(self, made: Made) -> None:
        super()._made(made)
        print(made, flush=True)


def main(home: Path, start: date, end: date) -> None:
    settings, product = replay_settings(home), smaller(declared_product(PRODUCT))
    home.mkdir(parents=True, exist_ok=True)
    with environment_of(settings), WarmJobs() as jobs:
        prepare_home(settings)
        gateways = replace(build_gateways(settings), jobs=jobs, lake=ReplayLake(settings.lake_uri))
        built = ModelProduct(product).build_defs(SimpleNamespace(path=PRODUCTS / PRODUCT))  # type: ignore[arg-type]
        definitions = deployed(built, settings, **vars(gateways))
        with quick_instance(settings.dagster_home) as instance:
            replay = Told(settings, instance, product, definitions, gateways, start, end)
            replay.day_done = lambda day: print(f"done {day}", flush=True)
            replay.run()
            if replay.state.done == end.isoformat():
                write_report(replay.report(), home / "report")


if __name__ == "__main__":
    main(Path(sys.argv[1]), *(date.fromisoformat(day) for day in sys.argv[2:]))
