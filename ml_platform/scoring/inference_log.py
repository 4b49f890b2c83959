"""Writes each request and its predictions to the lake, in the layout of Azure ML's data collector, off the hot path."""

import logging
import threading
import time
import uuid
from collections import defaultdict, deque
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal, cast, get_args

import msgspec
from msgspec.json import encode

from ml_platform.scoring.folders import MAX_APPEND_BYTES, Folder, Unreachable
from ml_platform.scoring.records import Record
from ml_platform.scoring.state import Deployment

if TYPE_CHECKING:
    from ml_platform.scoring.serving import Serving

FLUSH_SECONDS = 0.05
CLOSE_SECONDS = 8.0
"""For a folder that does not answer when the server ends; what is left then is dropped and counted."""
RETRY_SECONDS = 0.2
MAX_PENDING_BYTES = 64 * 1024 * 1024
"""What may wait for a disk that does not keep up; more rows are dropped and counted rather than fill the memory."""

Collection = Literal["model_inputs", "model_outputs"]
INPUTS, OUTPUTS = get_args(Collection)

Hour = tuple["Serving", int]
"""What logs, and the hours since EPOCH."""
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

logger = logging.getLogger(__name__)


class Exchange(msgspec.Struct):
    """One answered request: `records` [n] as validated, `probabilities` [n], both in the caller's order."""

    serving: "Serving"
    time: datetime
    correlation_id: str
    records: list[Record]
    probabilities: list[float]


class Event(msgspec.Struct, gc=False):
    """What differs from line to line of a CloudEvent; the rest are defaults of an `event_type`."""

    data: list[Any]
    id: str
    time: datetime
    correlationid: str
    xrequestid: str


class _Lines:
    """What waits for the files of one hour."""

    def __init__(self) -> None:
        self.rows: list[int] = []
        self.inputs: list[bytes] = []
        self.outputs: list[bytes] = []


class _Batch(msgspec.Struct):
    """Lines on their way to the two files of an hour; what has been appended is empty. `size` in bytes."""

    folder: Folder
    path: str
    rows: int
    size: int
    inputs: bytes
    outputs: bytes


class InferenceLog:
    """Appends exchanges, at least every `seconds`.

    Each process writes files of its own below the declared folder, by the exchange's UTC time:
    `{endpoint}/{deployment}/{collection}/{yyyy}/{MM}/{dd}/{HH}/{instance}.jsonl`. A line is one request, the id of its
    row i is `{correlationid}_{i}`. A thread of its own waits for the disk. The lines are made by who writes: a second
    thread that makes them takes turns with the event loop, which costs requests more than the making.

    What a folder that does not answer would get waits until it does. While `held` nothing is appended.
    """

    def __init__(self, seconds: float = FLUSH_SECONDS) -> None:
        self.dropped_rows = 0
        self.held = False
        self._seconds = seconds
        self._instance = uuid.uuid4().hex
        self._made = 0
        self._pending: dict[Hour, _Lines] = defaultdict(_Lines)
        self._pending_bytes = 0
        self._batches: deque[_Batch] = deque()
        self._trouble = ""
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="inference-log", daemon=True)
        self._thread.start()

    def write(self, exchange: Exchange) -> None:
        """Queue an exchange; returns at once, and counts its rows as dropped when too much waits."""
        inputs, outputs = self._lines(exchange)
        size = len(inputs) + len(outputs) + 2
        with self._lock:
            if self._pending_bytes + size > MAX_PENDING_BYTES:
                self.dropped_rows += len(exchange.records)
                return
            self._pending_bytes += size
            lines = self._pending[exchange.serving, int(exchange.time.timestamp() // 3600)]
            lines.rows.append(len(exchange.records))
            lines.inputs.append(inputs)
            lines.outputs.append(outputs)

    def forget(self) -> None:
        """Drop what has been held, uncounted: nobody was to log it."""
        with self._lock:
            for lines in self._pending.values():
                self._pending_bytes -= sum(len(line) + 1 for line in (*lines.inputs, *lines.outputs))
            self._pending = defaultdict(_Lines)

    def close(self) -> None:
        """Write what waits, for CLOSE_SECONDS at most, and end the thread."""
        self._closing.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._closing.wait(self._seconds):
            self._flush()
        deadline = time.monotonic() + CLOSE_SECONDS
        while not self._flush() and time.monotonic() < deadline:
            time.sleep(RETRY_SECONDS)
        for batch in self._batches:
            self._drop(batch, self._trouble)

    def _flush(self) -> bool:
        """Append what waits; whether all of it is done."""
        if self.held:
            return True
        with self._lock:
            pending, self._pending = self._pending, defaultdict(_Lines)
        for (serving, hour), lines in pending.items():
            at = EPOCH + timedelta(hours=hour)
            path = f"{at.year:04d}/{at.month:02d}/{at.day:02d}/{at.hour:02d}/{self._instance}.jsonl"
            self._batches.extend(_batches(serving.log_folder, path, lines))
        while self._batches:
            try:
                self._append(self._batches[0])
            except Unreachable as error:
                self._tell(str(error))
                return False
            except OSError as error:
                self._drop(self._batches[0], str(error))
            done = self._batches.popleft()
            with self._lock:
                self._pending_bytes -= done.size
        self._tell("")
        return True

    def _append(self, batch: _Batch) -> None:
        if batch.inputs:
            batch.folder.append(f"{INPUTS}/{batch.path}", batch.inputs)
            batch.inputs = b""
        batch.folder.append(f"{OUTPUTS}/{batch.path}", batch.outputs)

    def _drop(self, batch: _Batch, why: str) -> None:
        with self._lock:
            self.dropped_rows += batch.rows
        logger.error("inference log: %d rows dropped, they could not be written: %s", batch.rows, why)

    def _tell(self, trouble: str) -> None:
        if trouble != self._trouble:
            logger.error("inference log: %s", f"lines wait: {trouble}" if trouble else "no line waits any more")
        self._trouble = trouble

    def _lines(self, exchange: Exchange) -> tuple[bytes, bytes]:
        """The CloudEvents of inputs and outputs."""
        self._made += 1
        serving, correlation_id = exchange.serving, exchange.correlation_id
        # An event's id is its own among those of its source, which inputs and outputs share.
        event = f"{self._instance}-{self._made}"
        outputs = list(map(serving.output_row, exchange.probabilities, exchange.records))
        return (
            encode(serving.input_event(exchange.records, f"{event}-i", exchange.time, correlation_id, correlation_id)),
            encode(serving.output_event(outputs, f"{event}-o", exchange.time, correlation_id, correlation_id)),
        )


def event_type(endpoint: str, deployment: Deployment, collection: Collection) -> type[Event]:
    """The type of a model's CloudEvents in a collection."""
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


def _batches(folder: Folder, path: str, lines: _Lines) -> Iterator[_Batch]:
    """The lines of an hour, as many at once as one append takes."""
    first, rest = 0, len(lines.inputs)
    while first < rest:
        last, inputs, outputs = first, 0, 0
        while last < rest and (last == first or max(inputs, outputs) < MAX_APPEND_BYTES // 2):
            inputs, outputs = inputs + len(lines.inputs[last]) + 1, outputs + len(lines.outputs[last]) + 1
            last += 1
        texts = [b"\n".join([*some[first:last], b""]) for some in (lines.inputs, lines.outputs)]
        yield _Batch(folder, path, sum(lines.rows[first:last]), inputs + outputs, *texts)
        first = last
