"""A small real feature table, one MLflow store for the session, and requests that train on them in seconds."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import pandas as pd
import pyarrow as pa
import pytest
from deltalake import write_deltalake

from dbx_jobs.contract import Days
from ml_platform.gateways.registry import initialise
from ml_platform.training.contract import Dimension, FeatureTable, Metric, Roles, Tracking, TrainingRequest
from ml_platform_tests.jobs import nyc

ROLES = Roles(["flight_id"], "sched_dep_at", "prediction_time", "delayed")
WINDOW = Days("2013-01-07", "2013-02-10")
LEAK = "departure_delay"


@dataclass(frozen=True)
class Tables:
    """Two Delta tables: honest features, and the same with the departure delay among them."""

    honest: str
    leaky: str


@pytest.fixture(scope="session")
def tables(tmp_path_factory: pytest.TempPathFactory) -> Tables:
    root = tmp_path_factory.mktemp("features")
    rows = features()
    return Tables(write(rows.drop(columns=LEAK), root / "honest"), write(rows, root / "leaky"))


def features() -> pd.DataFrame:
    """Five weeks of flights with simple features; the label is null where the flight never arrived."""
    days = nyc.days(WINDOW.start, WINDOW.end)
    flights = nyc.some_days("flights", days).drop_duplicates(["day", "carrier", "flight", "origin"])
    hour = flights["sched_dep_at"].dt.floor("h")
    recent = flights.groupby(["origin", hour])["dep_delay"].mean().astype("float64")
    before = pd.MultiIndex.from_arrays([flights["origin"], hour - pd.Timedelta(hours=2)])
    return pd.DataFrame(
        {
            "day": flights["day"],
            "flight_id": flights["day"].astype(str)
            + flights["carrier"].radd("-")
            + flights["flight"].astype(str).radd("-")
            + flights["origin"].radd("-"),
            "sched_dep_at": flights["sched_dep_at"],
            "prediction_time": flights["sched_dep_at"] - pd.Timedelta(hours=1),
            "carrier": flights["carrier"],
            "origin": flights["origin"],
            "distance": flights["distance"],
            "hour": flights["sched_dep_time"] // 100,
            "recent_departure_delay": recent.reindex(before).to_numpy(),
            LEAK: flights["dep_delay"],
            "delayed": (flights["arr_delay"] > 15).astype("Int32"),
        }
    )


def write(rows: pd.DataFrame, folder: Path) -> str:
    """Write a feature table, partitioned by day."""
    table = pa.Table.from_pandas(rows, preserve_index=False)
    write_deltalake(str(folder), table, partition_by=["day"], mode="overwrite")
    return str(folder)


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Callable[[], Tracking]:
    """Gives a new registered model's name in one initialised MLflow store."""
    root = tmp_path_factory.mktemp("mlflow")
    uri, artifacts = f"sqlite:///{root}/mlflow.db", (root / "artifacts").as_uri()
    initialise(uri, "training", root, artifacts)
    return lambda: Tracking(uri, "training", f"delays_{uuid4().hex[:8]}", artifacts)


@pytest.fixture
def tracking(store: Callable[[], Tracking]) -> Tracking:
    return store()


@pytest.fixture
def request_(tables: Tables, tracking: Tracking) -> TrainingRequest:
    return make_request(tables.honest, tracking)


def make_request(table: str, tracking: Tracking) -> TrainingRequest:
    return TrainingRequest(
        product="delays",
        features=FeatureTable(table, 0, ROLES),
        window=WINDOW,
        validation_days=7,
        holdout_days=7,
        metric=Metric("roc_auc", "maximize"),
        tracking=tracking,
        parameters={"n_estimators": 40, "min_child_samples": 50},
        search_space={"num_leaves": Dimension(4, 16, integer=True), "learning_rate": Dimension(0.05, 0.2, log=True)},
        trials=2,
        threads=1,
        slices=["origin", "month"],
    )
