"""Writes each request and its predictions to the lake, in the layout of Azure ML's data collector, off the hot path."""

import logging
import threading
import uuid
from collections import defaultdict
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast, get_args

import msgspec
from msgspec.json import encode

from ml_platform.scoring.records import Record
from ml_platform.scoring.state import Deployment

if TYPE_CHECKING:
    from ml_platform.scoring.serving import Serving

FLUSH_SECONDS = 0.05
MAX_PENDING_BYTES = 64 * 1024 * 1024
"""What may wait for a disk that does not keep up; more rows are dropped and counted rather than fill the memory."""

Collection = Literal["model_inputs", "model_outputs"]
INPUTS, OUTPUTS = COLLECTIONS = get_args(Collection)

Hour = tuple["Serving", int, int, int, int]

logger = logging.getLogger(__name__)


class Exchange(msgspec.Struct):
    """One answered request: `records` [n] as validated, `probabilities` [n], both in the caller's order."""

    serving: "Serving"
    time: datetime
    correlation_id: str
    records: list[Record]
    probabilities: list[float]


class Event(msgspec.Struct, gc=False):
    """What differs from line to line of a CloudEvent; the rest are defaults of `event_types`."""

    data: list[Any]
    id: str
    time: datetime
    correlationid: str
    xrequestid: str


class _Lines:
    """What waits for the files of one hour."""

    def __init__(self) -> None:
        self.rows = 0
        self.inputs: list[bytes] = []
        self.outputs: list[bytes] = []


class InferenceLog:
    """Appends exchanges, at least every FLUSH_SECONDS.

    Each process writes files of its own below the declared folder, by the exchange's UTC time:
    `{endpoint}/{deployment}/{collection}/{yyyy}/{MM}/{dd}/{HH}/{instance}.jsonl`. A line is one request, the id of its
    row i is `{correlationid}_{i}`. A thread of its own waits for the disk. The lines are made by who writes: a second
    thread that makes them takes turns with the event loop, which costs requests more than the making.
    """

    def __init__(self) -> None:
        self.dropped_rows = 0
        self._instance = uuid.uuid4().hex
        self._made = 0
        self._pending: dict[Hour, _Lines] = defaultdict(_Lines)
        self._pending_bytes = 0
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="inference-log", daemon=True)
        self._thread.start()

    def write(self, exchange: Exchange) -> None:
        """Queue an exchange; returns at once, and counts its rows as dropped when too much waits."""
        at, (inputs, outputs) = exchange.time, self._lines(exchange)
        size = len(inputs) + len(outputs)
        with self._lock:
            if self._pending_bytes + size > MAX_PENDING_BYTES:
                self.dropped_rows += len(exchange.records)
                return
            self._pending_bytes += size
            lines = self._pending[exchange.serving, at.year, at.month, at.day, at.hour]
            lines.rows += len(exchange.records)
            lines.inputs.append(inputs)
            lines.outputs.append(outputs)

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
            pending, self._pending, self._pending_bytes = self._pending, defaultdict(_Lines), 0
        for (serving, year, month, day, hour), lines in pending.items():
            path = f"{year:04d}/{month:02d}/{day:02d}/{hour:02d}/{self._instance}.jsonl"
            try:
                _append(serving.log_folder / INPUTS / path, b"\n".join([*lines.inputs, b""]))
                _append(serving.log_folder / OUTPUTS / path, b"\n".join([*lines.outputs, b""]))
            except OSError as error:
                with self._lock:
                    self.dropped_rows += lines.rows
                logger.error("inference log: %d rows dropped, they could not be written: %s", lines.rows, error)

    def _lines(self, exchange: Exchange) -> tuple[bytes, bytes]:
        """The CloudEvents of inputs and outputs."""
        self._made += 1
        serving, correlation_id = exchange.serving, exchange.correlation_id
        # An event's id is its own among those of its source, which inputs and outputs share.
        event = f"{self._instance}-{self._made}"
        made_of, outputs = serving.event_types, list(map(serving.output_row, exchange.probabilities, exchange.records))
        rest = (exchange.time, correlation_id, correlation_id)
        return (
            encode(made_of[INPUTS](exchange.records, f"{event}-i", *rest)),
            encode(made_of[OUTPUTS](outputs, f"{event}-o", *rest)),
        )


def event_types(endpoint: str, deployment: Deployment) -> dict[Collection, type[Event]]:
    """The types of a model's CloudEvents, by collection."""
    return {each: _event_type(endpoint, deployment, each) for each in COLLECTIONS}


def _event_type(endpoint: str, deployment: Deployment, collection: Collection) -> type[Event]:
    same = {
        "specversion": "1.0",
        "source": f"/onlineEndpoints/{endpoint}/deployments/{deployment.name}",
        "type": f"azureml.inference.{collection}",
        "datacontenttype": "application/json",
        "modelname": deployment.model_name,
        "modelversion": deployment.model_version,
        "agent": "ml_platform",
    }
    fields = [(name, str, value) for name, value in same.items()]
    return cast(type[Event], msgspec.defstruct("Event", fields, bases=(Event,), gc=False))


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
