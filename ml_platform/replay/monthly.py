"""The arm that is retrained every month: a model a month, in a process beside the replay: python -m ... REQUEST."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

from dbx_jobs.contract import Days, from_dict, to_dict
from ml_platform.core import keys
from ml_platform.core.product import ProductSpec
from ml_platform.errors import PlatformError
from ml_platform.gateways.lake import Lake
from ml_platform.replay.first import FirstModel
from ml_platform.stages.roles import roles
from ml_platform.training.contract import FeatureTable, Metric, Tracking, TrainingRequest

LOWEST_PRIORITY = 19

THREADS = 1
"""Of a training beside the replay, which needs the machine itself."""


@dataclass(frozen=True)
class ModelRequest:
    """Train as `training` says and write the serving directory `result`."""

    training: TrainingRequest
    result: str


def later_months(product: ProductSpec, days: Days) -> Iterator[tuple[str, str]]:
    """Each month that begins within `days` after their first, and the last day whose labels were final when it did."""
    month = _next_month(date.fromisoformat(days.start))
    while month.isoformat() <= days.end:
        known = month - timedelta(days=1 + product.monitors.performance.maturity_days)
        yield month.isoformat()[:7], known.isoformat()
        month = _next_month(month)


class MonthlyModels:
    """A serving directory a month in `folder`, trained one after the other.

    It is the platform's own training with the parameters of the `first` model in place of a search.
    """

    def __init__(self, folder: Path, lake: Lake, product: ProductSpec, first: FirstModel) -> None:
        self._folder, self._lake, self._product, self._first = folder, lake, product, first
        self._busy: subprocess.Popen | None = None

    def begin(self, days: Days) -> None:
        """Begin the model of the first month within `days` that has none, unless one is being trained.

        In a process of its own, of the lowest priority. One that fails is tried again.
        """
        if self._busy is None or self._busy.poll() is not None:
            lacking = [each for each in later_months(self._product, days) if not (self._folder / each[0]).exists()]
            if lacking:
                self._start(*lacking[0])

    def directories(self, days: Days) -> Iterator[tuple[str, Path]]:
        """Each month of `days` but the first, and its model; trains those that lack.

        Raises PlatformError when one cannot be trained.
        """
        for month, known in later_months(self._product, days):
            self._wait()
            if not (self._folder / month).exists():
                self._start(month, known)
                self._wait()
            if not (self._folder / month).exists():
                raise PlatformError(f"the model of {month} could not be trained: see the end of the replay's log")
            yield month, self._folder / month

    def close(self) -> None:
        """End what is being trained."""
        if self._busy is not None:
            self._busy.terminate()
            self._wait()

    def _wait(self) -> None:
        if self._busy is not None:
            self._busy.wait()

    def _start(self, month: str, known: str) -> None:
        training = self._training(Days(self._product.start.isoformat(), known))
        self._folder.mkdir(parents=True, exist_ok=True)
        file = self._folder / f"{month}.json"
        file.write_text(json.dumps(to_dict(ModelRequest(training, str(self._folder / month)))))
        self._busy = subprocess.Popen([sys.executable, "-m", "ml_platform.replay.monthly", str(file)])

    def _training(self, window: Days) -> TrainingRequest:
        model, path = self._product.model, keys.features(self._product.name)
        return TrainingRequest(
            product=self._product.name,
            features=FeatureTable(self._lake.table(path), self._lake.version(path), roles(self._product)),
            window=window,
            validation_days=model.split.validation_days,
            holdout_days=model.split.holdout_days,
            metric=Metric(model.metric.name, model.metric.direction),
            tracking=Tracking("", "", ""),
            estimator=model.estimator,
            parameters=self._first.parameters,
            trials=0,
            seed=model.seed,
            threads=THREADS,
        )


def make(request: ModelRequest) -> None:
    """Train and write; the result is there whole or not at all."""
    from ml_platform.scoring.encoding import Encoder
    from ml_platform.training.data import read_rows, split_by_time
    from ml_platform.training.export import write_serving_directory
    from ml_platform.training.learning import fit
    from ml_platform.training.train import declare

    rows = read_rows(request.training.features, request.training.window)
    split = split_by_time(rows, request.training)
    known = rows.where(rows.day <= split.days["validation"].end)
    signature = declare(request.training, known, fingerprint="")
    fitted = fit(request.training, split, known, Encoder(signature), lambda _: None)
    result = Path(request.result)
    unfinished = result.with_suffix(".part")
    shutil.rmtree(unfinished, ignore_errors=True)
    write_serving_directory(fitted.estimator, fitted.platt, signature, unfinished)
    unfinished.replace(result)


def _next_month(day: date) -> date:
    return (day.replace(day=1) + timedelta(days=32)).replace(day=1)


if __name__ == "__main__":
    os.nice(LOWEST_PRIORITY)
    make(from_dict(ModelRequest, json.loads(Path(sys.argv[1]).read_text())))
