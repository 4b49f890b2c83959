"""Reads the body of a scoring request into validated records, or refuses it with the field's name."""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any

import msgspec
import numpy as np
from msgspec import UNSET, Meta, Raw, Struct, UnsetType

from dbx_jobs.online_contract import COMPLETED
from ml_platform.scoring.encoding import Input, Signature
from ml_platform.scoring.refusal import Refusal

MAX_RECORDS = 1024
"""Records in a request: a batch is scored on the event loop and must not hold up the others for long."""

Record = Struct
"""One record of a type that `record_type` made: its inputs in the order of the signature, then its key."""

_LARGEST = float(np.finfo(np.float32).max)
_Number = Annotated[float, Meta(ge=-_LARGEST, le=_LARGEST)]
_KeyValue = Annotated[str, Meta(min_length=1, description="Part of the business key.")] | int
_Whole = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]
_Timestamp = Annotated[datetime, Meta(tz=True, description="Event time, RFC 3339 with its offset from UTC.")]

_REQUEST_TYPES: dict[str, Any] = {
    "string": str,
    "int": _Whole,
    "bigint": _Whole,
    "double": _Number,
    "boolean": bool,
    "timestamp": _Timestamp,
}


class _Frame(msgspec.Struct):
    """pandas' orient="split", as MLflow sends it."""

    columns: list[str]
    data: Annotated[list[list[Any]], Meta(max_length=MAX_RECORDS)]


class _Envelope(msgspec.Struct):
    """The forms of a batch. Their values stay raw until it is known which one came."""

    records: Raw | UnsetType = UNSET
    dataframe_records: Raw | UnsetType = UNSET
    dataframe_split: Raw | UnsetType = UNSET
    inputs: Raw | UnsetType = UNSET


def record_type(signature: Signature, primary_key: tuple[str, ...], event_time: str) -> type[Record]:
    """The type of one record, its fields in order: inputs (null allowed), then the key (null refused).

    Raises ValueError when a key column is also an input or the output, for then the log could not tell them apart, or
    when a column has the name of a form of batch.
    """
    types = _types(signature, primary_key, event_time)
    # Columns may have names that are none in Python.
    fields = [(f"f{n}", kind, msgspec.field(name=name)) for n, (name, kind) in enumerate(types.items())]
    return msgspec.defstruct("Record", fields, frozen=True, gc=False)


def asked_type(
    signature: Signature, primary_key: tuple[str, ...], event_time: str, request: Mapping[str, str]
) -> type[Record]:
    """The type of a record that the server may complete: the fields of `record_type`, then the rest of a `request`.

    Of all but the event time the caller may send none: it is UNSET then. `request` has the columns' types.
    """
    types = _types(signature, primary_key, event_time)
    more = {name: _REQUEST_TYPES[kind] | None for name, kind in request.items() if name not in types}
    fields = [
        (f"f{n}", kind, msgspec.field(name=name))
        if name == event_time
        else (f"f{n}", kind | UnsetType, msgspec.field(name=name, default=UNSET))
        for n, (name, kind) in enumerate((types | more).items())
    ]
    return msgspec.defstruct("Record", fields, frozen=True, gc=False, kw_only=True)


def completed_type(record: type[Record]) -> type[Record]:
    """`record` with a last field that says how it was completed."""
    return msgspec.defstruct(
        "Completed", [(COMPLETED, str | None, None)], bases=(record,), frozen=True, gc=False, omit_defaults=True
    )


def _types(signature: Signature, primary_key: tuple[str, ...], event_time: str) -> dict[str, Any]:
    keys: dict[str, Any] = dict.fromkeys(primary_key, _KeyValue) | {event_time: _Timestamp}
    if clash := sorted(set(keys) & {*signature.names, signature.output}):
        raise ValueError(f"the key columns {clash} are also inputs or the output of the model")
    if reserved := sorted({*keys, *signature.names} & set(_Envelope.__struct_fields__)):
        raise ValueError(f"columns must not be named {reserved}: a request could not be told from a batch")
    return {item.name: _input_type(item) for item in signature.inputs} | keys


def _input_type(item: Input) -> Any:
    if item.kind == "numeric":
        return Annotated[_Number | None, Meta(description="Null is missing.")]
    known = ", ".join(item.categories[:20]) + (", ..." if len(item.categories) > 20 else "")
    return Annotated[str | None, Meta(description=f"Null and unknown values are missing. Known: {known}")]


class RecordReader:
    """Decodes request bodies for one signature; raises Refusal 400 (no JSON) or 422 (names the field)."""

    def __init__(self, record: type[Record]) -> None:
        batch: Any = Annotated[list[record], Meta(min_length=1, max_length=MAX_RECORDS)]
        self._batch_type = batch
        self._envelope = msgspec.json.Decoder(_Envelope)
        self._single = msgspec.json.Decoder(record)
        self._batch = msgspec.json.Decoder(batch)
        self._frame = msgspec.json.Decoder(_Frame)
        # Bounded before its values are made into records, of which a small body can bring a million.
        rows: Any = Annotated[list[Any], Meta(max_length=MAX_RECORDS)]
        self._inputs = msgspec.json.Decoder(dict[str, rows] | rows)

    def read(self, body: bytes) -> list[Record]:
        """The records of a body: one, `records`, or MLflow's `dataframe_records`, `dataframe_split` or `inputs`."""
        try:
            try:
                return [self._single.decode(body)]
            except msgspec.ValidationError as error:
                return self._read_batch(body, error)
        except msgspec.ValidationError as error:
            raise Refusal(422, _explain(str(error))) from error
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise Refusal(400, f"the body is not JSON that can be read: {error}") from error

    def _read_batch(self, body: bytes, no_record: msgspec.ValidationError) -> list[Record]:
        envelope = self._envelope.decode(body)
        if envelope.records is not UNSET:
            return self._batch.decode(envelope.records)
        if envelope.dataframe_records is not UNSET:
            return self._batch.decode(envelope.dataframe_records)
        if envelope.dataframe_split is not UNSET:
            return msgspec.convert(_rows(self._frame.decode(envelope.dataframe_split)), self._batch_type)
        if envelope.inputs is not UNSET:
            return msgspec.convert(self._inputs_of(envelope.inputs), self._batch_type)
        raise no_record

    def _inputs_of(self, raw: Raw) -> list[Any]:
        """MLflow's `inputs`: a list of records, or the columns by name."""
        found = self._inputs.decode(raw)
        if isinstance(found, list):
            return found
        lengths = {len(values) for values in found.values()}
        if len(lengths) > 1:
            raise msgspec.ValidationError(f"Columns of {sorted(lengths)} values - at `$.inputs`")
        return [dict(zip(found, values, strict=True)) for values in zip(*found.values(), strict=True)]


def _rows(frame: _Frame) -> list[dict[str, Any]]:
    if len(set(frame.columns)) != len(frame.columns):
        raise msgspec.ValidationError("Column named twice - at `$.dataframe_split.columns`")
    for index, values in enumerate(frame.data):
        if len(values) != len(frame.columns):
            raise msgspec.ValidationError(
                f"Expected {len(frame.columns)} values, got {len(values)} - at `$.dataframe_split.data[{index}]`"
            )
    return [dict(zip(frame.columns, values, strict=True)) for values in frame.data]


def _explain(message: str) -> str:
    hint = "; send null where an input's value is missing" if "missing required field" in message else ""
    return f"the request does not fit the model's signature: {message}{hint}"
