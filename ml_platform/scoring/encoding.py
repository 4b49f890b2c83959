"""Turns named raw values into the model's float32 matrix, the same way in training, in the server and in MLflow."""

import struct
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import msgspec
import numpy as np

MODEL_FILE = "model.onnx"
SIGNATURE_FILE = "signature.json"
BASELINE_FILE = "baseline.json"
REFERENCE_FILE = "reference.json"
"""The files of a serving directory; baseline and reference are for monitoring, the server does not read them."""

OUTPUT = "probability"
"""The name under which our models report their probability, to callers and in the inference log."""

NAN = float("nan")


class EncodingError(ValueError):
    """A serving directory or a record does not fit the signature; the message names the field and the value."""


class Input(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One raw input. A category's code is its position in `categories`; anything else, and a missing value, is NaN."""

    name: str
    kind: Literal["numeric", "categorical"]
    categories: tuple[str, ...] = ()


class Signature(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a model takes and gives.

    `model.onnx` has one float32 input `onnx_input` [n, len(inputs)], its columns in the order of `inputs`, and one
    float32 output `onnx_output` [n]: the probability of the positive class. `output` is the name under which that
    probability is reported to callers. `facts` are for people and logs (estimator, window, fingerprint).
    """

    inputs: tuple[Input, ...]
    output: str
    onnx_input: str = "features"
    onnx_output: str = "probability"
    facts: dict[str, str] = {}

    @property
    def names(self) -> tuple[str, ...]:
        """The raw inputs' names, in the matrix's order."""
        return tuple(item.name for item in self.inputs)


def read_signature(directory: Path) -> Signature:
    """The signature of a serving directory; raises EncodingError when it is missing or not one."""
    path = directory / SIGNATURE_FILE
    try:
        signature = msgspec.json.decode(path.read_bytes(), type=Signature)
    except FileNotFoundError as error:
        raise EncodingError(f"{path} is missing: this is no serving directory") from error
    except msgspec.DecodeError as error:
        raise EncodingError(f"{path} is not a signature: {error}") from error
    if not signature.names or len(set(signature.names)) != len(signature.names):
        raise EncodingError(f"{path}: the inputs' names must be distinct and at least one, got {signature.names}")
    return signature


def write_signature(signature: Signature, directory: Path) -> None:
    """Write signature.json; equal signatures give equal bytes."""
    raw = msgspec.json.encode(signature, order="deterministic")
    (directory / SIGNATURE_FILE).write_bytes(msgspec.json.format(raw, indent=1) + b"\n")


class Encoder:
    """Encodes records (serving) and columns (training, batches) to float32 [n, F]; both give equal rows."""

    def __init__(self, signature: Signature) -> None:
        self.names = signature.names
        self._codes: list[dict[str, float] | None] = [
            {value: float(code) for code, value in enumerate(item.categories)} if item.kind == "categorical" else None
            for item in signature.inputs
        ]
        self._categorical = [(place, codes) for place, codes in enumerate(self._codes) if codes is not None]
        self._plan = list(zip(self.names, self._codes, strict=True))
        self._packer = struct.Struct(f"={len(self._codes)}f")

    def encode_records(self, records: Sequence[Mapping[str, Any]]) -> np.ndarray:
        """Encode `records`; keys that are no input are ignored, a null is missing.

        Raises EncodingError when an input is absent (a null must be said, so that a misspelt name is seen) or when
        its value has another type than the signature says.
        """
        matrix = np.empty((len(records), len(self.names)), dtype=np.float32)
        for row, record in enumerate(records):
            matrix[row] = self._values(record, row)
        return matrix

    def encode_rows(self, rows: Sequence[Sequence[Any]]) -> np.ndarray:
        """Encode rows that a decoder checked: first the inputs in order, each a float, a string or None."""
        width, packed = len(self._codes), []
        for row in rows:
            values = list(row[:width])
            for place, codes in self._categorical:
                values[place] = codes.get(values[place], NAN)
            # numpy takes twice as long for lists.
            try:
                packed.append(self._packer.pack(*values))
            except struct.error:
                packed.append(self._packer.pack(*[NAN if value is None else value for value in values]))
        return np.frombuffer(b"".join(packed), dtype=np.float32).reshape(len(packed), width)

    def encode_columns(self, columns: Mapping[str, Iterable[Any]]) -> np.ndarray:
        """Encode equally long `columns` (numpy arrays or lists; None or NaN is missing); raises as `encode_records`."""
        if absent := [name for name in self.names if name not in columns]:
            raise EncodingError(f"the columns {absent} are missing; the model takes {list(self.names)}")
        encoded = [_encode_column(name, codes, columns[name]) for name, codes in self._plan]
        return np.ascontiguousarray(np.column_stack(encoded))

    def _values(self, record: Mapping[str, Any], row: int) -> list[float]:
        values = []
        for name, codes in self._plan:
            try:
                value = record[name]
            except KeyError:
                raise EncodingError(f"record {row} lacks {name!r}; send null where a value is missing") from None
            if codes is None:
                values.append(value if type(value) is float else _number(name, value))
            else:
                values.append(codes.get(value, NAN) if isinstance(value, str) else _no_category(name, value))
        return values


def _encode_column(name: str, codes: dict[str, float] | None, column: Iterable[Any]) -> np.ndarray:
    if codes is None:
        if isinstance(column, np.ndarray) and column.dtype.kind in "fiub" and column.ndim == 1:
            return column.astype(np.float32)
        return np.asarray([_number(name, value) for value in column], dtype=np.float32)
    encoded = (codes.get(v, NAN) if isinstance(v, str) else _no_category(name, v) for v in column)
    return np.fromiter(encoded, dtype=np.float32)


def _number(name: str, value: Any) -> float:
    if value is None:
        return NAN
    if not isinstance(value, (int, float, np.number, np.bool_)):
        raise EncodingError(f"{name!r} must be a number or null, got {value!r}")
    try:
        return float(value)
    except OverflowError:
        raise EncodingError(f"{name!r} is too large for a number") from None


def _no_category(name: str, value: Any) -> float:
    if value is None or value != value:
        return NAN
    raise EncodingError(f"{name!r} must be a string or null, got {value!r}")
