"""A lake with real flights, what was logged about them, and the requests of the monitoring jobs."""

from dataclasses import dataclass, replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from deltalake import DeltaTable

from dbx_jobs.contract import Days, TableInput
from dbx_jobs.monitoring_contract import (
    GroundTruthRequest,
    InferenceLogRequest,
    PerformanceRequest,
    ProfileRequest,
    Roles,
)
from ml_platform_tests.jobs.monitoring import collected

ZONE = "America/New_York"
ROLES = Roles(["flight_id"], "sched_dep_at", "prediction_time", "delayed")
DAYS = Days("2013-04-01", "2013-04-03")
LANDED = ("2013-03-31", "2013-04-04")
BASELINE = {
    "rows": 1000,
    "features": {
        "carrier": {
            "kind": "categorical",
            "categories": ["UA", "B6"],
            "counts": [300, 300],
            "other": 380,
            "missing": 20,
        },
        "distance": {"kind": "numeric", "edges": [500.0, 1000.0, 2000.0], "counts": [300, 300, 300, 100], "missing": 0},
        "hour": {"kind": "numeric", "edges": [], "counts": [1000], "missing": 0},
    },
    "prediction": {"kind": "numeric", "edges": [0.2, 0.31, 0.4], "counts": [250, 250, 250, 250], "missing": 0},
}


@dataclass(frozen=True)
class Lake:
    """A folder with a feature table, the collector's files and what the jobs make of them."""

    root: Path
    rows: Any

    def uri(self, name: str) -> str:
        return (self.root / name).as_uri()

    def read(self, name: str, *order: str) -> Any:
        frame = DeltaTable(str(self.root / name)).to_pandas()
        return frame.sort_values(["day", *order]).reset_index(drop=True)

    def version(self, name: str) -> int:
        return DeltaTable(str(self.root / name)).version()

    def log_request(self, days: Days = DAYS, table: str = "log") -> InferenceLogRequest:
        return InferenceLogRequest(
            collector_uri=self.uri(collected.ENDPOINT),
            table_uri=self.uri(table),
            quarantine_uri=self.uri(f"quarantine_{table}"),
            features=TableInput(self.uri("features")),
            roles=ROLES,
            timezone=ZONE,
            days=days,
        )

    def truth_request(self, days: Days = DAYS, table: str = "truth") -> GroundTruthRequest:
        features = TableInput(self.uri("features"))
        return GroundTruthRequest(
            inference_log=TableInput(self.uri("log")),
            features=features,
            table_uri=self.uri(table),
            roles=ROLES,
            watermark_table=features,
            watermark_column="sched_dep_at",
            timezone=ZONE,
            maturity_days=1,
            days=days,
        )

    def profile_request(self, days: Days = DAYS, table: str = "drift", **changes: Any) -> ProfileRequest:
        request = ProfileRequest(TableInput(self.uri("log")), self.uri(table), BASELINE, "3", days)
        return replace(request, **changes)

    def performance_request(self, days: Days = DAYS, table: str = "performance") -> PerformanceRequest:
        inputs = (TableInput(self.uri("log")), TableInput(self.uri("truth")))
        return PerformanceRequest(*inputs, self.uri(table), "delayed", days, ledger_uri=self.uri(f"{table}_ledger"))


def each_day(days: Days = DAYS) -> list[Days]:
    first, last = date.fromisoformat(days.start), date.fromisoformat(days.end)
    every = [str(first + timedelta(days=n)) for n in range((last - first).days + 1)]
    return [Days(day, day) for day in every]


def only_file(lake: Lake, collection: str) -> Path:
    (file,) = (lake.root / collected.ENDPOINT / "blue" / collection).rglob("*.jsonl")
    return file


TABLES = {
    "log": ("prediction_id",),
    "truth": ("prediction_id",),
    "drift": ("column", "cell"),
    "performance": (),
    "performance_ledger": ("revision",),
}
