"""Real flights asked about as callers do: a lake, its online store, the scoring server in this process, and its log."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from time import monotonic
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow as pa
import pyarrow.compute as pc
from deltalake import DeltaTable, write_deltalake
from pyspark.sql import SparkSession
from starlette.testclient import TestClient

from dbx_jobs.contract import Days, EventTime, FeaturesRequest, Roles, TableInput, TableReport
from dbx_jobs.jobs.build_features import build_features
from dbx_jobs.jobs.check_online import check_online
from dbx_jobs.jobs.inference_log import build_log
from dbx_jobs.jobs.online_features import fill_store
from dbx_jobs.monitoring_contract import InferenceLogRequest
from dbx_jobs.online_contract import OnlineCheckRequest, OnlineReport, OnlineRequest, OnlineTable
from ml_platform.scoring.app import create_app
from ml_platform.scoring.encoding import Input
from ml_platform.scoring.headers import CLOCK_HEADER
from ml_platform.scoring.host import Host
from ml_platform.scoring.state import (
    DECLARED_FILE,
    KEYS_FILE,
    Declared,
    Deployment,
    EndpointDeclaration,
    Keys,
    OnlineDeclaration,
    write_state,
)
from ml_platform_tests.jobs import nyc
from ml_platform_tests.serving_directories import write_wide_directory

PRODUCT, ZONE = "flight_delays", "America/New_York"
TRANSFORM = "python:dbx_jobs.products.flight_delays"
ROLES = Roles(["flight_id"], "sched_dep_at", "prediction_time", "delayed")
CLOCK = EventTime("sched_dep_at", ["year", "month", "dayofmonth"], "sched_dep_time", ZONE, "hhmm")
REQUEST = {
    "carrier": "string",
    "flight": "int",
    "tailnum": "string",
    "origin": "string",
    "dest": "string",
    "sched_dep_at": "timestamp",
}
DAILY = {"flights": "sched_dep_at", "weather": "observed_at"}


def table_of(root: Path) -> OnlineTable:
    """The feature table of a lake below `root`, as the jobs are told."""
    sources = {name: TableInput(_uri(root / "lake" / name), daily=name in DAILY) for name in nyc.SOURCES}
    return OnlineTable(PRODUCT, TRANSFORM, sources, "flights", list(REQUEST), CLOCK, ROLES, 9)


@dataclass(frozen=True)
class Asked:
    """One lake below `root` and a server that completes requests from its online store."""

    spark: SparkSession
    root: Path
    client: TestClient
    answers: list[str] = field(default_factory=list)

    def fill(self, until: str, as_of: datetime | None = None) -> OnlineReport:
        """Fill the store."""
        at = as_of.isoformat() if as_of else None
        return fill_store(self.spark, OnlineRequest(table_of(self.root), _uri(self.root / "online"), DAILY, until, at))

    def ask(self, flights: list[dict[str, Any]]) -> None:
        """Ask about each flight an hour before its departure, with what a caller knows of it."""
        for flight in flights:
            at = flight["sched_dep_at"] - timedelta(hours=1)
            record = {name: flight[name] for name in REQUEST} | {"sched_dep_at": flight["sched_dep_at"].isoformat()}
            answer = self.client.post("/score", json=record, headers={CLOCK_HEADER: at.isoformat()})
            assert answer.status_code == 200, answer.text
            self.answers.append(answer.text)

    def ask_through(self, day: str, every: timedelta) -> int:
        """Ask about all flights that are asked about on a day, the store being filled so often; their number."""
        asked = 0
        start = datetime.combine(date.fromisoformat(day), time(), ZoneInfo(ZONE)).astimezone(UTC)
        for n in range(timedelta(days=1) // every):
            since = start + n * every
            self.fill(day, since)
            flights = self.flights(since + timedelta(hours=1), since + every + timedelta(hours=1))
            self.ask(flights)
            asked += len(flights)
        return asked

    def flights(self, first: datetime, after: datetime) -> list[dict[str, Any]]:
        """Those that were to leave from `first` until just before `after`."""
        at = pc.field("sched_dep_at")
        return nyc.table("flights").filter((at >= first) & (at < after)).to_pylist()

    def check(self, first: str, last: str) -> TableReport:
        """Ingest the log of these days and compute again what was looked up."""
        self._wait_for_log()
        days, log, quarantine = Days(first, last), _uri(self.root / "log"), _uri(self.root / "quarantine")
        collector, features = _uri(self.root / "collector" / PRODUCT), TableInput(_uri(self.root / "features"))
        build_log(self.spark, InferenceLogRequest(collector, log, quarantine, features, ROLES, ZONE, days))
        assert DeltaTable(quarantine).to_pyarrow_table().num_rows == 0
        request = OnlineCheckRequest(table_of(self.root), TableInput(log), _uri(self.root / "differences"), days)
        return check_online(self.spark, request)

    def _wait_for_log(self) -> None:
        deadline = monotonic() + 10
        while sum(path.read_bytes().count(b"\n") for path in (self.root / "collector").rglob("*.jsonl")) < 2 * len(
            self.answers
        ):
            assert monotonic() < deadline, "the log was not written"

    def logged(self) -> list[dict[str, Any]]:
        """The rows of the inference log."""
        return DeltaTable(_uri(self.root / "log")).to_pyarrow_table().to_pylist()


@contextmanager
def asked_in(root: Path, spark: SparkSession, first: str, last: str, ttl_seconds: float = 7200) -> Iterator[Asked]:
    """A lake of these days, the types of its feature table, and a server with a model of all its features."""
    days = nyc.days(first, last)
    for name in nyc.SOURCES:
        rows = nyc.table(name)
        wanted = rows.filter(pc.field("day").isin(days)) if name in DAILY else rows
        write_deltalake(_uri(root / "lake" / name), wanted, partition_by=["day"] if name in DAILY else None)
    features = (_uri(root / "features"), Days(last, last), ROLES.primary_key, ROLES.event_time, 9)
    build_features(spark, FeaturesRequest(PRODUCT, TRANSFORM, table_of(root).sources, *features))
    served = root / "endpoint"
    served.mkdir()
    write_state(served / KEYS_FILE, Keys("first-key", "second-key"))
    write_state(served / DECLARED_FILE, Declared(1, _declared(root, ttl_seconds), _uri(root / "collector")))
    with TestClient(create_app(Host(served)), headers={"authorization": "Bearer first-key"}) as client:
        yield Asked(spark, root, client)


def _declared(root: Path, ttl_seconds: float) -> EndpointDeclaration:
    left_out = {"day", ROLES.label, ROLES.prediction_time, ROLES.event_time, *ROLES.primary_key}
    schema = DeltaTable(_uri(root / "features")).to_pyarrow_table().schema
    kinds: dict[str, Any] = {f.name: "categorical" if f.type == pa.string() else "numeric" for f in schema}
    inputs = [
        Input(name, kind, ("UA", "EWR", "IAH") if kind == "categorical" else ())
        for name, kind in kinds.items()
        if name not in left_out
    ]
    model = write_wide_directory(root / "model", inputs)
    return EndpointDeclaration(
        PRODUCT,
        (Deployment("blue", PRODUCT, "1", str(model)),),
        {"blue": 100},
        tuple(ROLES.primary_key),
        ROLES.event_time,
        replay_clock=True,
        online=OnlineDeclaration(_uri(root / "online"), PRODUCT, REQUEST, CLOCK, ttl_seconds),
    )


def _uri(path: Path) -> str:
    return path.as_uri()
