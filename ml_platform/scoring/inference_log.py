"""Writes each request and its predictions to the lake, in the layout of Azure ML's data collector, off the hot path."""

import logging
import threading
import uuid
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from msgspec.json import encode
from msgspec.structs import astuple

from ml_platform.scoring.records import Record
from ml_platform.scoring.state import Declared, EndpointDeclaration

if TYPE_CHECKING:
    from ml_platform.scoring.serving import Serving

FLUSH_SECONDS = 0.05
MAX_PENDING_ROWS = 100_000
"""Rows that may wait for a disk that does not keep up; more are dropped and counted rather than fill the memory."""

Collection = Literal["model_inputs", "model_outputs"]
INPUTS, OUTPUTS = COLLECTIONS = get_args(Collection)

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Exchange:
    """One answered request: `records` [n] as validated, `probabilities` [n], both in the caller's order."""

    serving: "Serving"
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
        self._lines = 0
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
            _append(folder / INPUTS / hour, b"".join(self._line(e, INPUTS, e.records) for e in group))
            _append(folder / OUTPUTS / hour, b"".join(self._line(e, OUTPUTS, _outputs(e)) for e in group))
        except OSError as error:
            rows = sum(len(exchange.records) for exchange in group)
            with self._lock:
                self.dropped_rows += rows
            logger.error("inference log: %d rows dropped, they could not be written: %s", rows, error)

    def _line(self, exchange: Exchange, collection: Collection, rows: Sequence[Any]) -> bytes:
        """A CloudEvent. Its unchanging part is made once a model: this thread and the answers share one core."""
        self._lines += 1
        head, correlation_id = exchange.serving.log_heads[collection], encode(exchange.correlation_id)
        return b'%s,"id":"%s-%d","time":%s,"data":%s,"correlationid":%s,"xrequestid":%s}\n' % (
            head,
            self._instance.encode(),
            self._lines,
            encode(exchange.time),
            encode(rows),
            correlation_id,
            correlation_id,
        )


def log_heads(declared: Declared) -> dict[Collection, bytes]:
    """What all lines of a model begin with, by collection: a JSON object without its end."""
    return {collection: encode(_head(declared.endpoint, collection)).removesuffix(b"}") for collection in COLLECTIONS}


def _head(endpoint: EndpointDeclaration, collection: Collection) -> dict[str, str]:
    return {
        "specversion": "1.0",
        "source": f"/onlineEndpoints/{endpoint.name}/deployments/{endpoint.deployment.name}",
        "type": f"azureml.inference.{collection}",
        "datacontenttype": "application/json",
        "modelname": endpoint.deployment.model_name,
        "modelversion": endpoint.deployment.model_version,
        "agent": "ml_platform",
    }


def _deployment_folder(serving: "Serving") -> Path:
    endpoint = serving.declared.endpoint
    return serving.log_root / endpoint.name / endpoint.deployment.name


def _outputs(exchange: Exchange) -> list[dict[str, Any]]:
    output, keys = exchange.serving.model.signature.output, exchange.serving.key_columns
    return [
        {output: probability, **dict(zip(keys, astuple(record)[-len(keys) :], strict=True))}
        for record, probability in zip(exchange.records, exchange.probabilities, strict=True)
    ]


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
