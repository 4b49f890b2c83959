"""Writes each request and its predictions to the lake, in the layout of Azure ML's data collector, off the hot path."""

import logging
import threading
import uuid
from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

import msgspec

from ml_platform.scoring.records import Record
from ml_platform.scoring.serving import Serving

FLUSH_SECONDS = 0.05
MAX_PENDING_ROWS = 100_000
"""Rows that may wait for a disk that does not keep up; more are dropped and counted rather than fill the memory."""

Collection = Literal["model_inputs", "model_outputs"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Exchange:
    """One answered request: `records` [n] as validated, `probabilities` [n], both in the caller's order."""

    serving: Serving
    time: datetime
    correlation_id: str
    records: list[Record]
    probabilities: list[float]


class InferenceLog:
    """Appends exchanges in a thread of its own, at least every FLUSH_SECONDS.

    Each process writes files of its own below the declared folder, by the exchange's UTC time:
    `{endpoint}/{deployment}/{collection}/{yyyy}/{MM}/{dd}/{HH}/{instance}.jsonl`. A line is one request, the id of its
    row i is `{correlationid}_{i}`.
    """

    def __init__(self) -> None:
        self.dropped_rows = 0
        self._instance = uuid.uuid4().hex
        self._pending: list[Exchange] = []
        self._pending_rows = 0
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="inference-log", daemon=True)
        self._thread.start()

    def write(self, exchange: Exchange) -> None:
        """Queue an exchange; returns at once, and counts its rows as dropped when too many wait."""
        rows = len(exchange.records)
        with self._lock:
            if self._pending_rows + rows > MAX_PENDING_ROWS:
                self.dropped_rows += rows
                return
            self._pending.append(exchange)
            self._pending_rows += rows

    def close(self) -> None:
        """Write what waits and end the thread."""
        self._closing.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._closing.wait(FLUSH_SECONDS):
            self._flush()
        self._flush()

    def _flush(self) -> None:
        with self._lock:
            exchanges, self._pending, self._pending_rows = self._pending, [], 0
        by_file: dict[tuple[Path, str], list[Exchange]] = defaultdict(list)
        for exchange in exchanges:
            hour = f"{exchange.time.year:04d}/{exchange.time:%m/%d/%H}/{self._instance}.jsonl"
            by_file[_deployment_folder(exchange.serving), hour].append(exchange)
        for (folder, hour), group in by_file.items():
            self._append(folder, hour, group)

    def _append(self, folder: Path, hour: str, group: list[Exchange]) -> None:
        try:
            _append(folder / "model_inputs" / hour, b"".join(_line(e, "model_inputs", e.records) for e in group))
            _append(folder / "model_outputs" / hour, b"".join(_line(e, "model_outputs", _outputs(e)) for e in group))
        except OSError as error:
            rows = sum(len(exchange.records) for exchange in group)
            with self._lock:
                self.dropped_rows += rows
            logger.error("inference log: %d rows dropped, they could not be written: %s", rows, error)


def _deployment_folder(serving: Serving) -> Path:
    endpoint = serving.declared.endpoint
    return serving.log_root / endpoint.name / endpoint.deployment.name


def _outputs(exchange: Exchange) -> list[Record]:
    output, keys = exchange.serving.model.signature.output, exchange.serving.key_columns
    return [
        {output: probability, **{key: record[key] for key in keys}}
        for record, probability in zip(exchange.records, exchange.probabilities, strict=True)
    ]


def _line(exchange: Exchange, collection: Collection, rows: list[dict[str, Any]]) -> bytes:
    endpoint = exchange.serving.declared.endpoint
    event = {
        "specversion": "1.0",
        "id": str(uuid.uuid4()),
        "source": f"/onlineEndpoints/{endpoint.name}/deployments/{endpoint.deployment.name}",
        "type": f"azureml.inference.{collection}",
        "datacontenttype": "application/json",
        "time": exchange.time,
        "data": rows,
        "correlationid": exchange.correlation_id,
        "xrequestid": exchange.correlation_id,
        "modelname": endpoint.deployment.model_name,
        "modelversion": endpoint.deployment.model_version,
        "agent": "ml_platform",
    }
    return msgspec.json.encode(event) + b"\n"


def _append(path: Path, lines: bytes) -> None:
    """Append whole lines or nothing, so that a full disk leaves no torn line for later ones to follow."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab", buffering=0) as file:
        start, written = file.tell(), 0
        try:
            while written < len(lines):
                written += file.write(lines[written:])
        except OSError:
            file.truncate(start)
            raise
