"""A copy of the line that its own sensors, conditions and schedules keep, and that would retrain at the least sign."""

import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import dagster as dg
from mlflow import MlflowClient

from ml_platform.components.declared import PRODUCTS
from ml_platform.components.model_product import product_definitions
from ml_platform.core import keys
from ml_platform.core.keys import AssetPath
from ml_platform.core.product import ProductSpec, RetrainingSpec
from ml_platform.definitions import deployed
from ml_platform.errors import JobError
from ml_platform.gateways.alerts import Alert
from ml_platform.gateways.jobs import Jobs, Program
from ml_platform.replay.daemon import Daemon, Made
from ml_platform.replay.endpoint_log import logged, wait_for_log
from ml_platform.replay.requests import replay_days
from ml_platform.replay.storage import quick_instance
from ml_platform.stages.attempts import attempts, contents
from ml_platform_tests.e2e.line import DAILY, MONITORING, PRODUCT, Line, line_in

DECISION = keys.retrain_decision(PRODUCT)
RETRAINING = f"retrain_{PRODUCT}"
TABLES = tuple(path for path in (*DAILY, *MONITORING) if path[-1] != "ground_truth")
"""Those whose content does not depend on when it was made: the ground truth keeps when each label became known."""


@dataclass
class Trainings:
    """The jobs of a line, which count what is to be trained; they train only when they `may`: it takes its time."""

    jobs: Jobs
    may: bool = False
    asked: list[Any] = field(default_factory=list)

    def run(self, context: Any, program: Program, request: Any) -> dict:
        """See `Jobs.run`."""
        if program is Program.TRAIN:
            self.asked.append(request)
            if not self.may:
                raise JobError("this line counts its trainings and makes none")
        return self.jobs.run(context, program, request)


@dataclass
class KeptLine:
    """A line, the stand-in for Dagster's daemon that keeps it, and what it raised."""

    line: Line
    daemon: Daemon
    trainings: Trainings

    @property
    def home(self) -> Path:
        """Where all of it lies."""
        return self.line.settings.home

    def settle(self) -> list[Made]:
        """Let sensors and conditions do what is to be done."""
        return self.daemon.settle()

    def night(self, after: str) -> list[Made]:
        """Let the schedules of the night after a day do what is to be done."""
        midnight = datetime.combine(date.fromisoformat(after), time(), ZoneInfo(self.line.product.timezone))
        return self.daemon.schedules(midnight + timedelta(days=1), midnight + timedelta(days=2))

    def ask(self, day: str) -> None:
        """Ask the live endpoint about the flights of a day, which has its features."""
        lake, product = self.line.gateways.lake, self.line.product
        before = logged(lake, product, day)
        asked = replay_days(lake, self.line.gateways.endpoints, product, day, day)
        wait_for_log(lake, product, day, before + asked)

    def versions(self) -> list[str]:
        """The registered versions of the model."""
        found = MlflowClient(self.line.settings.mlflow_tracking_uri).search_model_versions(f"name='{PRODUCT}'")
        return sorted(str(version.version) for version in found)

    def retrainings(self) -> list[dg.DagsterRun]:
        """The runs of training and roll-out that a decision started."""
        return list(self.line.instance.get_runs(dg.RunsFilter(job_name=RETRAINING)))

    def decision(self) -> Mapping[str, Any]:
        """What the last decision shows."""
        return {name: value.value for name, value in self.line.metadata(DECISION).items()}

    def alerts(self) -> list[Alert]:
        """All that was raised, newest first."""
        return self.line.gateways.alerts.kept(1000)

    def contents(self, path: AssetPath) -> dict[str, str]:
        """The version of the content of each day of a table."""
        return contents(self.line.instance, dg.AssetKey(path))

    def not_passed(self) -> dict[str, str]:
        """The days of tables whose last attempt failed or was refused."""
        return {
            f"{'/'.join(path)} of {day}": attempt.outcome
            for path in DAILY
            for day, attempt in attempts(self.line.instance, dg.AssetKey(path)).items()
            if attempt.outcome != "passed"
        }


def eager(product: ProductSpec) -> ProductSpec:
    """The product with a policy that retrains on the first day that a decay can be seen on."""
    policy = RetrainingSpec(
        cooldown_days=1,
        min_matured_labels=1,
        budget_per_quarter=90,
        review_days=1,
        false_alarms_per_month=1,
        metrics=["roc_auc"],
    )
    return product.model_copy(update={"retraining": policy})


@contextmanager
def kept_copy(home: Path, at: Path, jobs: Jobs) -> Iterator[KeptLine]:
    """What lies in `home`, without its endpoint, in another home `at`, with what keeps it."""
    shutil.copytree(home, at, ignore=shutil.ignore_patterns("endpoints"))
    with line_in(at) as opened, quick_instance(opened.settings.dagster_home) as instance:
        product, trainings = eager(opened.product), Trainings(jobs)
        definitions = deployed(product_definitions(product, PRODUCTS / PRODUCT), opened.settings, jobs=trainings)
        line = replace(opened, instance=instance, product=product, definitions=definitions)
        yield KeptLine(line, Daemon(instance, definitions), trainings)


def days(first: str, last: str) -> list[str]:
    """Both included."""
    start = date.fromisoformat(first)
    return [str(start + timedelta(days=n)) for n in range((date.fromisoformat(last) - start).days + 1)]


def only(contents: Mapping[str, str], wanted: Iterable[str]) -> dict[str, str]:
    """Those of the days that are there."""
    return {day: contents[day] for day in wanted if day in contents}
