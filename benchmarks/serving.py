"""Requests a second of the scoring server beside others that serve the same model, one record a request.

The model is the champion of this home (`make demo` makes one); Azure ML's server has what teams give it, a pickled
pipeline with an estimator of the same parameters. Each server has equally many workers; they take turns, and each ratio
is of loads of the same round. `wrk` makes the load on the same machine and takes its share of the processors.
"""

import argparse
import signal
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any, Literal

from mlflow import MlflowClient

from benchmarks.server_process import Target
from benchmarks.serving_targets import AZURE, MLFLOW, NOTHING, ONLINE, OURS, TARGETS, TASKLESS, Subject, dropped_rows
from benchmarks.wrk import Load, load, require_wrk
from benchmarks.year import PRODUCT
from ml_platform.components.declared import declared_product
from ml_platform.core import keys
from ml_platform.core.product import ProductSpec
from ml_platform.gateways.lake import Lake
from ml_platform.gateways.registry import Registry
from ml_platform.scoring.encoding import Encoder
from ml_platform.scoring.pyfunc import ServingModel
from ml_platform.settings import Settings

ROUNDS, SECONDS = 5, 4
CONNECTIONS = (1, 16, 128)
COMPARED = 16
"""Connections at which the ratios are taken."""

PAUSE_SECONDS = 0.5
AGREEMENT = 1e-5

Round = Mapping[tuple[str, int], Load]
"""The load of each target at each number of connections."""


@dataclass(frozen=True)
class Ratio:
    """This server's figure as a multiple of another's; a rate is wanted to be at least, a latency at most `wanted`."""

    to: str
    figure: Literal["rate", "p99"]
    wanted: float
    of: str = OURS

    def value(self, rounds: Sequence[Round]) -> float:
        """The median of the rounds' ratios."""
        return median(self._figure(seen, self.of) / self._figure(seen, self.to) for seen in rounds)

    def _figure(self, seen: Round, name: str) -> float:
        return float(getattr(seen[name, COMPARED], self.figure))


RATIOS = (
    Ratio(MLFLOW, "rate", 100),
    Ratio(AZURE, "rate", 70),
    Ratio(NOTHING, "rate", 0.5),
    Ratio(MLFLOW, "p99", 1 / 40),
    Ratio(AZURE, "p99", 1 / 40),
    Ratio(MLFLOW, "rate", 40, of=ONLINE),
    Ratio(AZURE, "rate", 30, of=ONLINE),
)


def main() -> None:
    """Measure and print."""
    arguments = _arguments()
    require_wrk()
    # The servers live in sessions of their own: whoever ends this by a signal must not leave them behind.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with TemporaryDirectory(prefix="ml_platform_bench_") as scratch, ExitStack() as running:
        subject = champion(Settings(), Path(scratch))
        targets = {name: running.enter_context(start(subject)) for name, start in TARGETS.items()}
        check_agreement(subject, targets)
        rounds, limits = [], []
        for number in range(arguments.rounds):
            print(f"round {number + 1} of {arguments.rounds}", flush=True)
            rounds.append(take_turns(targets, arguments.seconds))
            limits.append(in_process(subject))
        memory = {name: target.memory() for name, target in targets.items()}
        lost = dropped_rows(targets[OURS])
    tell_loads(rounds, memory)
    tell_limit(rounds, limits)
    tell_ratios(rounds)
    print(f"\nrows that the inference log of {OURS} dropped: {lost}")


def champion(settings: Settings, scratch: Path) -> Subject:
    """The champion of this home and a record for it; raises SystemExit when there is none."""
    product = declared_product(PRODUCT)
    # Asked first: MLflow would make a database where there is none.
    if not settings.home.is_dir():
        raise SystemExit(f"there is nothing in {settings.home}: run make demo first")
    registry = Registry(MlflowClient(settings.mlflow_tracking_uri), scratch / "models")
    found = registry.champion(PRODUCT)
    if found is None:
        raise SystemExit(f"{PRODUCT} has no champion in {settings.home}: run make demo first")
    directory = registry.serving_directory(PRODUCT, found.version)
    recipe = registry.recipe(PRODUCT, found.version)
    return Subject(settings, product, found.version, directory, recipe, fullest_record(settings, product), scratch)


def fullest_record(settings: Settings, product: ProductSpec) -> dict[str, Any]:
    """The record of the first day with the fewest missing values, as a caller sends it."""
    day = product.start.isoformat()
    rows = Lake(settings.lake_uri).rows(keys.features(product.name), day, day)
    row = min(rows, key=lambda row: sum(value is None for value in row.values()))
    hidden = {"day", product.model.label, product.features.prediction_time}
    return {name: value for name, value in row.items() if name not in hidden}


def check_agreement(subject: Subject, targets: Mapping[str, Target]) -> None:
    """Raise SystemExit when a server gives another probability than its model: it would not do the work."""
    model = ServingModel(subject.directory)
    champions = float(model.score_matrix(Encoder(model.signature).encode_records([subject.record]))[0])
    for name, target in targets.items():
        expected = champions if target.expected is None else target.expected
        if name not in (NOTHING, TASKLESS) and abs(target.probability() - expected) > AGREEMENT:
            raise SystemExit(f"{name} answers {target.probability()}, its model gives {expected}")


def take_turns(targets: Mapping[str, Target], seconds: int) -> Round:
    """Load each target at each number of connections, one after the other."""
    seen = {}
    for connections in CONNECTIONS:
        for name, target in targets.items():
            # What the last one has yet to write must not cost the next.
            time.sleep(PAUSE_SECONDS)
            seen[name, connections] = load(target.request, connections, seconds)
    return seen


def in_process(subject: Subject) -> float:
    """Records a second through the ONNX session alone, one at a time, encoded before."""
    model = ServingModel(subject.directory)
    matrix = Encoder(model.signature).encode_records([subject.record])
    count, started = 0, time.perf_counter()
    while (passed := time.perf_counter() - started) < 1:
        model.score_matrix(matrix)
        count += 1
    return count / passed


def tell_loads(rounds: Sequence[Round], memory: Mapping[str, float]) -> None:
    """Print the medians of the rounds, all failures, and memory."""
    print(f"\n{'':<22}{'connections':>12}{'requests/s':>12}{'p50 ms':>9}{'p99 ms':>9}{'failed':>8}{'MiB':>7}")
    for name, connections in rounds[0]:
        seen = [each[name, connections] for each in rounds]
        rate, p50, p99 = (median(getattr(item, figure) for item in seen) for figure in ("rate", "p50", "p99"))
        failed = sum(item.failed for item in seen)
        print(f"{name:<22}{connections:>12}{rate:>12,.0f}{p50:>9.2f}{p99:>9.2f}{failed:>8}{memory[name]:>7.0f}")


def tell_limit(rounds: Sequence[Round], limits: Sequence[float]) -> None:
    """Print what the model alone can do, and this server's share of it."""
    share = median(seen[OURS, COMPARED].rate / limit for seen, limit in zip(rounds, limits, strict=True))
    print(f"\nthe ONNX session alone, in process: {median(limits):,.0f} records/s; {OURS} reaches {share:.2f} of that")


def tell_ratios(rounds: Sequence[Round]) -> None:
    """Print the measured ratios beside the wanted ones."""
    print(f"\n{f'{OURS}, at {COMPARED} connections':<42}{'measured':>10}{'wanted':>18}")
    for ratio in RATIOS:
        title, bound = ("requests/s", "at least") if ratio.figure == "rate" else ("p99", "at most")
        name = f"{title}, of {ratio.to}" if ratio.of == OURS else f"{title} of {ratio.of}, of {ratio.to}"
        print(f"{name:<42}{ratio.value(rounds):>10.3g}{f'{bound} {ratio.wanted:g}':>18}")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.serving", description=__doc__)
    parser.add_argument("--rounds", type=int, default=ROUNDS, help=f"how often each takes its turns ({ROUNDS})")
    parser.add_argument("--seconds", type=int, default=SECONDS, help=f"of each load ({SECONDS})")
    return parser.parse_args()


if __name__ == "__main__":
    main()
