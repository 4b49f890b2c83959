"""`ml-platform replay`: one replay in a home of its own, told on the console, ending in its report."""

import gc
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from ml_platform.components.declared import PRODUCTS, declared_product
from ml_platform.components.model_product import product_definitions
from ml_platform.definitions import deployed
from ml_platform.errors import PlatformError
from ml_platform.gateways.build import build_gateways
from ml_platform.gateways.jobs import WarmJobs
from ml_platform.replay import state as states
from ml_platform.replay.figures import METRICS, POOLED
from ml_platform.replay.lake import ReplayLake
from ml_platform.replay.replay import WALL, Replay, replay_home
from ml_platform.replay.report import Report, write_report
from ml_platform.replay.running import AT_ONCE
from ml_platform.replay.storage import quick_instance
from ml_platform.services import prepare_home
from ml_platform.settings import Settings

OUTPUT = "output.log"
"""What the programs of a replay print."""


def run_replay(name: str, start: date, end: date, home: Path | None, fresh: bool, picture: Path | None) -> None:
    """Replay the product `name` from `start` to `end` (both included) in `home`, going on with what is done there.

    Its requests carry every feature as of their time, so that the product is one without online features. `fresh`
    removes what is there first; `picture` is where a copy of the report's picture goes.
    """
    declared = declared_product(name)
    product = declared.model_copy(update={"features": declared.features.model_copy(update={"online": None})})
    settings = replay_settings((home or replay_home(Settings(), name)).absolute())
    if fresh:
        remove(settings, name)
    states.load(settings.home, name, start.isoformat())
    settings.home.mkdir(parents=True, exist_ok=True)
    with environment_of(settings), own_output(settings.home / OUTPUT) as console, WarmJobs(AT_ONCE) as jobs:
        jobs.start()
        console.print(f"Replay of {name} from {start} to {end} in {settings.home}", soft_wrap=True)
        prepare_home(settings)
        gateways = replace(build_gateways(settings), jobs=jobs, lake=ReplayLake(settings.lake_uri))
        definitions = deployed(product_definitions(product, PRODUCTS / name), settings, **vars(gateways))
        with quick_instance(settings.dagster_home) as instance:
            replay = Replay(settings, instance, product, definitions, gateways, start, end)
            # The graph is large and stays: without looking through it again and again, a tenth of the time is saved.
            gc.collect()
            gc.freeze()
            gc.set_threshold(100_000, 20, 20)
            try:
                live(replay, console)
                report = replay.report()
            except KeyboardInterrupt:
                done = f"is done up to {replay.state.done}" if replay.state.done else "has not come to its first day"
                console.print(f"Interrupted: it {done}; the same command goes on from there.")
                raise SystemExit(130) from None
            finally:
                replay.close()
                gateways.endpoints.delete(name)
        page = write_report(report, settings.home / "report")
        if picture:
            shutil.copyfile(page.with_name("replay.png"), picture)
        console.print(summary(report, page), soft_wrap=True)


def live(replay: Replay, console: Console) -> None:
    """Run the replay with a bar of its days; what is told goes above it."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, TimeRemainingColumn(), console=console) as progress:
        days = (replay.end - replay.start).days + 1
        task = progress.add_task("prepare", total=days, completed=days - len(replay.days_left()))
        month = ""

        def done(day: date) -> None:
            nonlocal month
            progress.update(task, advance=1, description=day.isoformat())
            if not console.is_terminal and day.isoformat()[:7] != month:
                month = day.isoformat()[:7]
                console.print(f"{month} ...")

        replay.tell = lambda text: progress.console.print(text, soft_wrap=True)
        replay.day_done = done
        replay.run()


def replay_settings(home: Path) -> Settings:
    """The settings of this deployment with everything kept below `home`.

    No alert leaves the machine for past days, and hundreds of days do without the pictures of each.
    """
    return Settings(
        home=home,
        lake_uri=(home / "lake").as_uri(),
        mlflow_tracking_uri=f"sqlite:///{home / 'mlflow.db'}",
        mlflow_artifact_uri=(home / "mlflow-artifacts").as_uri(),
        alert_urls=(),
        pictures=False,
        replay_clock=True,
    )


def remove(settings: Settings, name: str) -> None:
    """Remove what a replay left in its home; raises PlatformError for a folder that is something else's."""
    if not settings.home.exists():
        return
    if not (settings.home / states.FILE).exists() and any(settings.home.iterdir()):
        raise PlatformError(f"{settings.home} is no replay's home: nothing is removed; name another --home")
    build_gateways(settings).endpoints.delete(name)
    shutil.rmtree(settings.home)


@contextmanager
def environment_of(settings: Settings) -> Iterator[None]:
    """The environment in which the programs of the replay find its home."""
    names = ("home", "lake_uri", "mlflow_tracking_uri", "mlflow_artifact_uri", "code_revision")
    before = dict(os.environ)
    os.environ |= {f"ML_PLATFORM_{name.upper()}": str(getattr(settings, name)) for name in names}
    os.environ |= {"ML_PLATFORM_REPLAY_CLOCK": "true", "ML_PLATFORM_ALERT_URLS": "", "ML_PLATFORM_PICTURES": "false"}
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


@contextmanager
def own_output(log: Path) -> Iterator[Console]:
    """A console on the terminal, while everything else that is printed, by programs as well, goes to `log`."""
    sys.stdout.flush()
    sys.stderr.flush()
    terminal, error = os.dup(1), os.dup(2)
    with log.open("ab") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    try:
        with os.fdopen(os.dup(terminal), "w") as out:
            yield Console(file=out, highlight=False)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os.dup2(terminal, 1)
        os.dup2(error, 2)
        os.close(terminal)
        os.close(error)


def summary(report: Report, page: Path) -> str:
    """The pooled figures in a few lines."""
    pooled = next(period for period in report.periods if period.name == POOLED)
    facts = report.to_dict()
    lines = [
        f"{arm:<14}" + ", ".join(f"{metric} {pooled.metrics[arm][metric].point:.4f}" for metric in METRICS)
        + f", {facts['retrainings'][arm]} retrainings"
        for arm in pooled.metrics
    ]  # fmt: skip
    minutes = timedelta(seconds=round(report.seconds[WALL]))
    return "\n".join([*lines, f"{minutes} in all; the report is {page}"])
