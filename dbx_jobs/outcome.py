"""The outcome of landed partitions as one Spark frame: rows, quarantined lines and a summary of each partition."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from dbx_jobs.contract import PARTITION_COLUMN, IngestRequest
from dbx_jobs.landed_partition import Outcome, PartitionReader, Quarantined
from dbx_jobs.landing import LandedFile, landed_frame

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

ROW, QUARANTINED, SUMMARY = "row", "quarantined", "summary"

_ARROW: dict[str, pa.DataType] = {
    "string": pa.string(),
    "int": pa.int32(),
    "bigint": pa.int64(),
    "double": pa.float64(),
    "boolean": pa.bool_(),
    "date": pa.date32(),
    "timestamp": pa.timestamp("us", "UTC"),
}
_OF_A_LINE = {"file": "string", "line": "bigint", "column": "string", "reason": "string", "value": "string"}
_OF_A_PARTITION = {"files": "bigint", "duplicates": "bigint", "refused": "string"}
# The columns of a source cannot begin with an underscore, so these never collide with them.
_OURS = {
    f"_{name}": kind
    for name, kind in ({"kind": "string", "partition": "string"} | _OF_A_LINE | _OF_A_PARTITION).items()
}


def outcome_frame(spark: "SparkSession", request: IngestRequest, files: list[LandedFile]) -> "DataFrame":
    """One frame, so that every file is read once; `rows_of`, `quarantine_of` and `summaries_of` take it apart."""
    kinds = _OURS | column_types(request)
    schema = ", ".join(f"`{name}` {kind}" for name, kind in kinds.items())
    if not files:
        return spark.createDataFrame([], schema)
    arrow = pa.schema([(name, _ARROW[kind]) for name, kind in kinds.items()])

    def parse(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        reader = PartitionReader(request)
        for batch in batches:
            for landed in batch.to_pylist():
                contents = [(file["name"], file["content"]) for file in landed["files"]]
                outcome = reader.read(landed["partition"] or None, contents)
                yield _batch(landed["partition"], outcome, arrow)

    return landed_frame(spark, request, files).mapInArrow(parse, schema)


def column_types(request: IngestRequest) -> dict[str, str]:
    """The table's columns without the partition column: those declared, then the event time."""
    event = {request.event_time.column: "timestamp"} if request.event_time else {}
    return {column.name: str(column.type) for column in request.columns} | event


def rows_of(outcome: "DataFrame", request: IngestRequest) -> "DataFrame":
    """The rows as the table holds them."""
    return outcome.where(f"_kind = '{ROW}'").selectExpr(*(f"`{n}`" for n in column_types(request)), *_day(request))


def quarantine_of(outcome: "DataFrame", request: IngestRequest) -> "DataFrame":
    """The quarantined lines: file, line, column, reason, value and, for a daily source, the day they landed under."""
    return outcome.where(f"_kind = '{QUARANTINED}'").selectExpr(*(f"_{n} AS `{n}`" for n in _OF_A_LINE), *_day(request))


def summaries_of(outcome: "DataFrame") -> dict[str | None, Outcome]:
    """For each partition (None: the snapshot) that has files: their number, the duplicates, the reason of a refusal."""
    columns = ("_partition", *(f"_{name}" for name in _OF_A_PARTITION))
    found = outcome.where(f"_kind = '{SUMMARY}'").select(*columns).collect()
    return {partition or None: Outcome(files=n, duplicates=d, refused=refused) for partition, n, d, refused in found}


def _day(request: IngestRequest) -> list[str]:
    return [f"CAST(_partition AS DATE) AS {PARTITION_COLUMN}"] if request.days else []


def _batch(partition: str, outcome: Outcome, schema: pa.Schema) -> pa.RecordBatch:
    """Summary first, then rows, then quarantined lines; each kind leaves the others' columns null."""
    rows, bad = len(outcome.rows), len(outcome.quarantine)
    count = 1 + rows + bad
    columns: dict[str, list[Any]] = {
        "_kind": [SUMMARY] + [ROW] * rows + [QUARANTINED] * bad,
        "_partition": [partition] * count,
        "_files": [outcome.files],
        "_duplicates": [outcome.duplicates],
        "_refused": [outcome.refused],
    }
    declared = schema.names[len(_OURS) :]
    for name, values in zip(declared, zip(*outcome.rows, strict=True), strict=bool(rows)):
        columns[name] = [None, *values]
    for name, values in zip(Quarantined._fields, zip(*outcome.quarantine, strict=True), strict=bool(bad)):
        columns[f"_{name}"] = [None] * (1 + rows) + list(values)
    arrays = []
    for name in schema.names:
        values = columns.get(name, [])
        arrays.append(pa.array(values + [None] * (count - len(values)), schema.field(name).type))
    return pa.RecordBatch.from_arrays(arrays, schema=schema)
