"""The demo's whole loop in the loopback cloud, from landed files to a retrained model, flow by flow."""

import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date

from ml_platform.core import keys
from ml_platform.core.keys import AssetPath
from ml_platform.gateways.endpoints import EndpointState
from ml_platform.gateways.lake import files_at
from ml_platform.replay.running import Made
from ml_platform.upstream import SNAPSHOTS, correct, land_missing
from ml_platform_tests.azure.deployment import Deployment, entered
from ml_platform_tests.azure.failing_once import fail_each_once
from ml_platform_tests.azure.line import kept_in_the_cloud
from ml_platform_tests.azure.watched import command_lines
from ml_platform_tests.azure.written import found, written
from ml_platform_tests.e2e.broken_files import TURNED, good
from ml_platform_tests.e2e.kept_line import TABLES, KeptLine, days
from ml_platform_tests.e2e.line import COMPUTED, DAILY, MODEL, MONITORING, PRODUCT, REPLAYED, TRAINED_UNTIL
from ml_platform_tests.emulators.process import Emulator
from ml_platform_tests.loopback_cloud import SCORING, TRAINING, make_environments

logger = logging.getLogger(__name__)

FIRST, KNOWN = "2013-01-01", "2013-02-08"
ASKED = "2013-02-07"
"""The last day that the endpoint is asked about: with its labels the decay of a January's model shows."""
CORRECTED = "2013-02-03"
LAST = "2013-02-11"

FLOWS = (
    *("images", "landing", "lake_and_features", "training_and_roll_out", "requests", "monitoring"),
    *("sensors", "retraining", "correction"),
)

BY_THEMSELVES = "/msi/endpoints/{endpoint}/token"
"""Containers of an endpoint ask for tokens when they need one, in whatever flow that is."""


@dataclass
class Walk:
    """What came of the loop: calls by flow, tables as the local line leaves them too, and what was seen later."""

    cloud: Deployment
    kept: KeptLine
    calls: dict[str, list[str]] = field(default_factory=dict)
    contents: dict[AssetPath, dict[str, str]] = field(default_factory=dict)
    """The version of the content of each day, once the days of `REPLAYED` are measured."""
    first: EndpointState | None = None
    settled: list[Made] = field(default_factory=list)
    retrained: list[Made] = field(default_factory=list)
    last: EndpointState | None = None
    corrected: list[Made] = field(default_factory=list)
    shown: set[str] = field(default_factory=set)
    """The command lines of all processes meanwhile."""
    secrets_found: list[str] = field(default_factory=list)
    """Which secret stands where among all that was written."""
    fault: str = ""
    """How every call that a flow makes fails once, before it is made again; a kind of `emulators.faults`."""
    fell: dict[str, int] = field(default_factory=dict)
    """How many of them did, by each flow that was to have any."""

    def run(self, flows: Sequence[str] = FLOWS) -> None:
        """The flows in their order."""
        for flow in flows:
            with self._recorded(flow):
                getattr(self, flow)()

    def images(self) -> None:
        make_environments(TRAINING, SCORING)

    def landing(self) -> None:
        self._land(KNOWN)

    def lake_and_features(self) -> None:
        self.kept.line.materialise([keys.lake(source) for source in SNAPSHOTS])
        self.kept.line.materialise(DAILY, COMPUTED)

    def training_and_roll_out(self) -> None:
        window = {"__".join(keys.candidate(PRODUCT)): {"config": {"end": TRAINED_UNTIL}}}
        self.kept.line.materialise(MODEL, config=window)
        self.first = self.kept.line.gateways.endpoints.state(PRODUCT)

    def requests(self) -> None:
        for day in days(*REPLAYED):
            self.kept.ask(day)

    def monitoring(self) -> None:
        self.kept.line.materialise(MONITORING, REPLAYED)
        self.contents = {path: self.kept.contents(path) for path in TABLES}

    def sensors(self) -> None:
        self.settled = self.kept.settle()
        self.kept.ask(ASKED)
        self.settled += self.kept.settle()

    def retraining(self) -> None:
        self._land(LAST)
        files = files_at(self.kept.line.settings.lake_uri)
        for day in days(TURNED, LAST):
            files.write(f"landing/flights/{day}/flights.csv", good("flights", day).to_csv(index=False).encode())
        self.retrained = self.kept.settle()
        self.last = self.kept.line.gateways.endpoints.state(PRODUCT)

    def correction(self) -> None:
        correct(self.kept.line.settings.lake_uri, date.fromisoformat(CORRECTED))
        self.corrected = self.kept.settle()

    def submitted(self) -> dict[str, int]:
        """How many runs of Databricks and jobs of Azure ML there were."""
        calls = self.cloud.arm.record()["calls"]
        taken = {c["path"] for c in calls if c["method"] == "PUT" and c["template"].endswith("/jobs/{name}")}
        return {"runs": len(self.cloud.spark.runs()), "jobs": len(taken)}

    def _land(self, last: str) -> None:
        land_missing(self.kept.line.settings.lake_uri, date.fromisoformat(FIRST), date.fromisoformat(last))

    def _emulators(self) -> list[tuple[str, Emulator]]:
        return [(each.name, each) for each in self.cloud.emulators]

    @contextmanager
    def _recorded(self, flow: str) -> Iterator[None]:
        before = {name: len(each.record()["calls"]) for name, each in self._emulators()}
        started = time.monotonic()
        with self._disturbed(flow):
            yield
        logger.info("%s: %.0f s", flow, time.monotonic() - started)
        calls = {name: each.record()["calls"][before[name] :] for name, each in self._emulators()}
        of_flow = ((name, call) for name in calls for call in calls[name] if call["template"] != BY_THEMSELVES)
        self.calls[flow] = sorted({_told(name, call) for name, call in of_flow})

    @contextmanager
    def _disturbed(self, flow: str) -> Iterator[None]:
        emulators = dict(self._emulators())
        asked = fail_each_once(emulators, flow, self.fault) if self.fault else 0
        yield
        if asked:
            self.fell[flow] = asked - sum(len(each.faults_left()) for each in emulators.values())
        for each in emulators.values():
            each.clear_faults()


def _told(emulator: str, call: Mapping[str, str]) -> str:
    return f"{emulator} {call['method']} {call['template'] or call['path']} {call['api_version']}".strip()


def walked(cloud: Deployment, fault: str = "") -> Walk:
    """The whole loop, with all that was written and shown on the way."""
    with entered(cloud), command_lines() as shown, kept_in_the_cloud() as kept:
        walk = Walk(cloud, kept, fault=fault)
        walk.run()
        walk.shown, walk.secrets_found = shown, found(written(cloud), cloud.secrets())
    return walk
