"""The main job on real flights, from landed files to a served, monitored model, on this machine."""

import logging
import os
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date
from typing import Any

import dagster as dg
from rich.console import Console
from rich.table import Table

from ml_platform.components.declared import declared_product
from ml_platform.core import keys
from ml_platform.core.keys import AssetPath
from ml_platform.definitions import deployed
from ml_platform.explanations import why_not, why_version
from ml_platform.gateways.build import build_gateways
from ml_platform.gateways.jobs import WarmJobs
from ml_platform.gateways.registry import Registry
from ml_platform.replay.daemon import Daemon, Made
from ml_platform.replay.requests import replay_days
from ml_platform.runs import ENDINGS, materialise
from ml_platform.services import keep_up, prepare_home, user_interfaces
from ml_platform.settings import PROJECT_ROOT, Settings
from ml_platform.training.mlflow_store import mlflow_client
from ml_platform.upstream import SNAPSHOTS, correct, land, spoil

PRODUCT = "flight_delays"
FIRST, TRAINED_UNTIL = "2013-01-01", "2013-03-31"
REPLAYED = ("2013-04-01", "2013-04-07")
MONITORING = ("inference_log", "ground_truth", "drift", "performance")
CORRECTED, NEXT_DAY = "2013-04-03", "2013-04-08"


def run_demo(keep: bool | None) -> None:
    """Run the whole line, print the summary, and keep the services up when `keep` (None: when on a terminal)."""
    os.environ["ML_PLATFORM_REPLAY_CLOCK"] = "true"
    console, settings, started = Console(highlight=False), Settings(), time.monotonic()
    prepare_home(settings)
    with WarmJobs() as jobs:
        _run(Demo(console, settings, jobs), console, settings, keep, started)


def _run(demo: "Demo", console: Console, settings: Settings, keep: bool | None, started: float) -> None:
    try:
        demo.run()
        with demo.step("Start the user interfaces"), user_interfaces(settings) as pages:
            addresses = {page.name: page.url for page in pages} | {"Endpoint": demo.scoring_uri()}
            console.print(demo.summary(time.monotonic() - started, addresses))
            if sys.stdout.isatty() if keep is None else keep:
                keep_up(console)
    finally:
        demo.gateways.endpoints.delete(PRODUCT)


class Demo:
    """One walk along the whole line, told on the console."""

    def __init__(self, console: Console, settings: Settings, jobs: WarmJobs) -> None:
        self.console = console
        self.settings = settings
        self.gateways = build_gateways(settings)
        self.product = declared_product(PRODUCT)
        self.instance = dg.DagsterInstance.get()
        products = dg.load_from_defs_folder(path_within_project=PROJECT_ROOT)
        # One Spark for all jobs, as on a cluster that is there already: a laptop starts it once.
        self._definitions: dg.Definitions = deployed(products, settings, jobs=jobs)
        self._asked = 0

    def run(self) -> None:
        """Land, compute, train, deploy, replay, monitor."""
        with self.step(f"Land flights and weather of {FIRST} to {REPLAYED[1]}, and the snapshots"):
            files = land(self.settings.lake_uri, date.fromisoformat(FIRST), date.fromisoformat(REPLAYED[1]))
            self.console.print(f"  {files} files in {self.settings.lake_uri}/landing")
        with self.step("Backfill the lake and the feature table, one Spark job a table"):
            self._materialise([keys.lake(source) for source in SNAPSHOTS])
            daily = [keys.lake("flights"), keys.lake("weather"), keys.features(PRODUCT)]
            self._materialise(daily, (FIRST, REPLAYED[1]))
        with self.step(f"Train on {FIRST} to {TRAINED_UNTIL}, pass the gate, deploy the champion"):
            candidate = keys.candidate(PRODUCT)
            window = {"__".join(candidate): {"config": {"end": TRAINED_UNTIL}}}
            self._materialise([candidate, keys.champion(PRODUCT), keys.endpoint(PRODUCT)], config=window)
        with self.step(f"Replay the flights of {REPLAYED[0]} to {REPLAYED[1]} against the live endpoint"):
            self._asked = replay_days(
                self.gateways.lake, self.gateways.endpoints, self.product, *REPLAYED, self._asked_day
            )
        with self.step("Ingest what the endpoint logged, join the labels that arrived, measure drift and performance"):
            self._materialise([keys.monitoring(PRODUCT, table) for table in MONITORING], REPLAYED)
        logging.disable(logging.WARNING)  # what the sensors log is told below
        daemon = Daemon(self.instance, self._definitions, self._tell_made)
        with self.step("Let the sensors look: what was done by hand stands, and a decision is due"):
            daemon.settle()
        with self.step(
            f"A late correction of {CORRECTED} and a broken file for {NEXT_DAY} land; nobody asks for anything"
        ):
            correct(self.settings.lake_uri, date.fromisoformat(CORRECTED))
            spoil(self.settings.lake_uri, date.fromisoformat(NEXT_DAY))
            daemon.settle()
        self._explain("What people were told (alerts)", self._alerts())

        registry = Registry(mlflow_client(self.settings.mlflow_tracking_uri), self.settings.home / "models")
        held = why_not(self.instance, registry, self.product)
        self._explain(f"ml-platform why-not {PRODUCT}", ("  " * line.depth + line.text for line in held))
        with self.step(f"The file of {NEXT_DAY} lands whole, with the day's weather"):
            land(self.settings.lake_uri, date.fromisoformat(NEXT_DAY), date.fromisoformat(NEXT_DAY))
            daemon.settle()
        chain = why_version(self.instance, registry, self.product, None)
        self._explain(f"ml-platform why {PRODUCT}", ("  " * line.depth + line.text for line in chain))

    def scoring_uri(self) -> str:
        """Where the endpoint answers."""
        return self.gateways.endpoints.scoring_uri(PRODUCT)

    def summary(self, seconds: float, addresses: Mapping[str, str]) -> Table:
        """What came out, in one table."""
        title = f"{PRODUCT}: from landed files to a monitored endpoint in {seconds:.0f} s"
        table = Table(title=title, title_justify="left", show_header=False)
        for name, value in [*self._figures(), *addresses.items()]:
            table.add_row(name, value)
        return table

    @contextmanager
    def step(self, title: str) -> Iterator[None]:
        """Print a title and how long what follows took."""
        self.console.print(f"[bold]{title}[/]", soft_wrap=True)
        started = time.monotonic()
        yield
        self.console.print(f"  [dim]{time.monotonic() - started:.0f} s[/]")

    def _figures(self) -> Iterator[tuple[str, str]]:
        flights, candidate = self._metadata(keys.lake("flights")), self._metadata(keys.candidate(PRODUCT))
        yield "Lake and features", f"{FIRST} to {REPLAYED[1]}, Delta version {flights['delta_version']}"
        yield "Champion", f"version {self._metadata(keys.champion(PRODUCT))['version']}, {self.product.model.estimator}"
        yield "Holdout", f"ROC AUC {candidate['roc_auc']:.3f}, log loss {candidate['log_loss']:.3f}"
        yield "Predictions", f"{self._asked} over HTTP"
        drift = self._metadata(keys.monitoring(PRODUCT, "drift"))
        yield "Drift of the week", f"prediction's PSI {drift['prediction_psi']:.2f}; {drift['alerts']} columns alert"
        rows = self.gateways.lake.rows(keys.monitoring(PRODUCT, "performance"), *REPLAYED)
        for row in sorted(rows, key=lambda row: row["day"]):
            yield f"ROC AUC {row['day']}", _auc(row)

    def _metadata(self, path: AssetPath) -> dict[str, Any]:
        event = self.instance.get_latest_materialization_event(dg.AssetKey(path))
        materialisation = event.asset_materialization if event else None
        return {name: entry.value for name, entry in materialisation.metadata.items()} if materialisation else {}

    def _tell_made(self, made: Made) -> None:
        what = f"{', '.join(made.assets) or made.job} {made.partitions}".strip()
        reason = made.tags.get("ml_platform/reason", made.asked_by)
        ending = "" if made.success else ", FAILED"
        self.console.print(f"  {what} ({reason}) {made.seconds:.0f} s{ending}", soft_wrap=True)

    def _alerts(self) -> Iterator[str]:
        for alert in self.gateways.alerts.kept():
            yield f"{alert.kind}: {alert.title}"
            yield f"  {alert.what}"

    def _explain(self, title: str, lines: Iterable[str]) -> None:
        self.console.print(f"[bold]{title}[/]", soft_wrap=True)
        for line in lines:
            self.console.print(f"  {line}", soft_wrap=True, markup=False)

    def _asked_day(self, day: str, count: int) -> None:
        self.console.print(f"  {day}: {count} requests")

    def _materialise(
        self,
        paths: Sequence[AssetPath],
        days: tuple[str, str] | None = None,
        config: Mapping[str, Any] | None = None,
    ) -> None:
        begun: dict[str, float] = {}

        def tell(step: str, event: str) -> None:
            if event in ENDINGS:
                self.console.print(
                    f"  {step} {event} after {time.monotonic() - begun.pop(step, time.monotonic()):.0f} s"
                )
            elif step not in begun:
                begun[step] = time.monotonic()
                self.console.print(f"  {step} ...")
            else:
                self.console.print(f"    {event}", soft_wrap=True)

        materialise(self.instance, self._definitions, paths, tell, days, config)


def _auc(row: Mapping[str, Any]) -> str:
    if row["roc_auc"] is None:
        return f"none: {row['labelled']} labels"
    interval = f"{row['roc_auc']:.3f} [{row['roc_auc_low']:.3f}, {row['roc_auc_high']:.3f}]"
    return f"{interval}, {'final' if row['final'] else 'provisional'}"
