"""Real flights as a feature table and as the files that a data collector would have written while scoring them."""

import json
from collections.abc import Iterable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid5

import pandas as pd
import pyarrow as pa
from deltalake import write_deltalake

from ml_platform_tests.jobs import nyc

ENDPOINT = "modelDataCollector/flight-delays"
NAMESPACE = UUID(int=2013)
FEATURES = {"carrier": pa.string(), "origin": pa.string(), "distance": pa.float64(), "hour": pa.int32()}


def feature_rows(first: str, last: str) -> Any:
    """The flights of the days in the shape of a feature table, with few features, and their probability."""
    flights = nyc.some_days("flights", nyc.days(first, last))
    key = (
        flights["day"].astype(str)
        + "-"
        + flights["carrier"]
        + "-"
        + flights["flight"].astype(str)
        + "-"
        + flights["origin"]
    )
    rows = pd.DataFrame(
        {
            "day": flights["day"],
            "flight_id": key,
            "sched_dep_at": flights["sched_dep_at"],
            "prediction_time": flights["sched_dep_at"] - timedelta(hours=1),
            "carrier": flights["carrier"],
            "origin": flights["origin"],
            "distance": flights["distance"].astype("float64"),
            "hour": flights["sched_dep_time"] // 100,
            "delayed": (flights["arr_delay"] > 15).astype("Int32").where(flights["arr_delay"].notna()),
        }
    )
    rows = rows.drop_duplicates("flight_id").sort_values(["sched_dep_at", "flight_id"]).reset_index(drop=True)
    return rows.assign(probability=[probability(hour) for hour in rows["hour"]])


def probability(hour: int) -> float:
    """A simple score with many ties: later flights are later."""
    return round(0.05 + 0.02 * int(hour), 2)


def write_features(rows: Any, folder: Path) -> str:
    """Replace the feature table in `folder` by `rows`; gives its URI."""
    types = {"day": pa.date32(), "flight_id": pa.string()}
    types |= dict.fromkeys(("sched_dep_at", "prediction_time"), pa.timestamp("us", "UTC"))
    types |= FEATURES | {"delayed": pa.int32()}
    table = pa.Table.from_pandas(rows[list(types)], schema=pa.schema(list(types.items())), preserve_index=False)
    write_deltalake(str(folder), table, mode="overwrite", partition_by=["day"])
    return folder.as_uri()


def log_requests(rows: Any, lake: Path, deployment: str = "blue", version: str = "3") -> list[Path]:
    """Score `rows` one hour before departure, all of an instant in one request; gives the files written."""
    files: dict[Path, list[str]] = {}
    for at in rows["prediction_time"].drop_duplicates():
        batch = rows[rows["prediction_time"] == at]
        request = str(uuid5(NAMESPACE, f"{deployment} {at}"))
        inputs = [_record(row, {name: row[name] for name in FEATURES}) for row in batch.to_dict("records")]
        outputs = [_record(row, {"probability": row["probability"]}) for row in batch.to_dict("records")]
        for collection, data in (("model_inputs", inputs), ("model_outputs", outputs)):
            folder = hour_folder(lake, deployment, collection, at)
            files.setdefault(folder / "instance-0.jsonl", []).append(line(collection, request, at, data, version))
    for path, lines in files.items():
        append(path, lines)
    return sorted(files)


def hour_folder(lake: Path, deployment: str, collection: str, at: datetime) -> Path:
    return lake / ENDPOINT / deployment / collection / f"{at:%Y/%m/%d/%H}"


def line(collection: str, request: str, at: datetime, data: list[dict[str, Any]], version: str = "3") -> str:
    """One line as the scoring server writes it."""
    return json.dumps(
        {
            "specversion": "1.0",
            "id": str(uuid5(NAMESPACE, f"{collection} {request}")),
            "source": "/endpoints/flight-delays/deployments/blue",
            "type": f"azureml.inference.{collection}",
            "datacontenttype": "application/json",
            "time": f"{at:%Y-%m-%dT%H:%M:%SZ}",
            "data": data,
            "correlationid": request,
            "xrequestid": request,
            "modelversion": version,
            "agent": "ml-platform-scoring",
        }
    )


def append(path: Path, lines: Iterable[str]) -> None:
    """Append whole lines to a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        file.writelines(f"{text}\n" for text in lines)


def _record(row: dict[str, Any], values: dict[str, Any]) -> dict[str, Any]:
    key = {"flight_id": row["flight_id"], "sched_dep_at": f"{row['sched_dep_at']:%Y-%m-%dT%H:%M:%SZ}"}
    return key | {name: None if pd.isna(value) else value for name, value in values.items()}
