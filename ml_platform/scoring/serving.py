"""One model version made ready to answer: loaded, checked, with its reader of records and its documents."""

from collections.abc import Callable
from operator import attrgetter
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import onnxruntime.capi.onnxruntime_pybind11_state as ort_errors
from msgspec.structs import astuple

from ml_platform.scoring.encoding import Encoder, Signature
from ml_platform.scoring.folders import open_folder
from ml_platform.scoring.headers import DEPLOYMENT_HEADER
from ml_platform.scoring.inference_log import INPUTS, OUTPUTS, event_type
from ml_platform.scoring.online import OnlineFeatures
from ml_platform.scoring.online_store import open_store
from ml_platform.scoring.openapi import openapi_document
from ml_platform.scoring.pyfunc import ServingModel
from ml_platform.scoring.records import Record, RecordReader, asked_type, completed_type, record_type
from ml_platform.scoring.state import Declared, Deployment

ONNX_ERRORS = (
    ort_errors.Fail,
    ort_errors.InvalidArgument,
    ort_errors.InvalidGraph,
    ort_errors.InvalidProtobuf,
    ort_errors.NotImplemented,
    ort_errors.RuntimeException,
)


_TRIED = 64


class ModelRefused(Exception):
    """A declared model cannot be served; the message says why."""


class NoProbability(Exception):
    """The model gave something else than a probability for a record; the message says for which."""


class Serving:
    """A declared deployment that has passed its check; raises ValueError and what ONNX Runtime raises."""

    def __init__(self, declared: Declared, deployment: Deployment) -> None:
        endpoint = declared.endpoint
        self.deployment = deployment
        self.model = ServingModel(Path(deployment.serving_dir))
        self.key_columns = (*endpoint.primary_key, endpoint.event_time)
        """The business key of a record: primary key, then event time; the last fields of a record."""
        key, signature = (endpoint.primary_key, endpoint.event_time), self.model.signature
        record = asked = record_type(signature, *key)
        self.online: OnlineFeatures | None = None
        """What completes the records that its reader reads, where the product declares it."""
        if online := endpoint.online:
            asked, record = asked_type(signature, *key, online.request), completed_type(record)
            wanted, store = (*signature.names, *self.key_columns), open_store(online.store_uri, online.product)
            self.online = OnlineFeatures(online, wanted, len(signature.names), record, store)
        self.reader = RecordReader(asked)
        self.output_row = _output_row(self.model.signature.output, self.key_columns, record)
        """The row of the log of a probability and its record: the probability with the record's key."""
        self.log_folder = open_folder(f"{declared.inference_log}/{endpoint.name}/{deployment.name}")
        self.input_event = event_type(endpoint.name, deployment, INPUTS)
        self.output_event = event_type(endpoint.name, deployment, OUTPUTS)
        self.openapi = openapi_document(endpoint.name, deployment, self.model.signature, asked)
        self.header = (DEPLOYMENT_HEADER.encode(), deployment.name.encode())
        self.counted_as = deployment.counted_as
        model = {"name": deployment.model_name, "version": deployment.model_version}
        self._model = msgspec.Raw(msgspec.json.encode(model))
        self._encoder = Encoder(self.model.signature)
        _check(self.model, self._encoder)
        self.row_by_row = _is_row_by_row(self.model)
        """Whether a record's probability is the same, to the last bit, whatever it is scored with."""

    def score(self, records: list[Record]) -> list[float]:
        """Probabilities [n] of validated records; raises NoProbability, and what ONNX Runtime raises."""
        found = self.model.score_matrix(self._encoder.encode_rows([astuple(record) for record in records])).tolist()
        for index, probability in enumerate(found):
            if not 0 <= probability <= 1:
                raise NoProbability(f"record {index}: the model gives no probability for these values")
        return found

    def answer(self, request_id: str, probabilities: list[float]) -> bytes:
        """The body of an answer."""
        output = self.model.signature.output
        predictions = [{"id": f"{request_id}_{index}", output: value} for index, value in enumerate(probabilities)]
        return msgspec.json.encode({"predictions": predictions, "model": self._model})


def load_serving(declared: Declared, deployment: Deployment) -> Serving:
    """Load and check a declared deployment; raises ModelRefused."""
    try:
        return Serving(declared, deployment)
    except (OSError, ValueError, LookupError, TypeError, RuntimeError, *ONNX_ERRORS) as error:
        where = f"{deployment.model_name} version {deployment.model_version} in {deployment.serving_dir}"
        raise ModelRefused(f"{where} cannot be served: {error}") from error


def example_records(signature: Signature) -> list[dict[str, Any]]:
    """Two records that any model must score: zeros with each first category, and one with every value missing."""
    present = {i.name: 0.0 if i.kind == "numeric" else next(iter(i.categories), None) for i in signature.inputs}
    return [present, dict.fromkeys(signature.names)]


def _output_row(
    output: str, key_columns: tuple[str, ...], record: type[Record]
) -> Callable[[float, Record], msgspec.Struct]:
    names = (output, *key_columns)
    fields = [(f"f{n}", Any, msgspec.field(name=name)) for n, name in enumerate(names)]
    row = msgspec.defstruct("Row", fields, gc=False)
    places = dict(zip(record.__struct_encode_fields__, record.__struct_fields__, strict=True))
    key = attrgetter(*(places[name] for name in key_columns))

    def made(probability: float, given: Record) -> msgspec.Struct:
        return row(probability, *key(given))

    return made


def _check(model: ServingModel, encoder: Encoder) -> None:
    probabilities = model.score_matrix(encoder.encode_records(example_records(model.signature)))
    if probabilities.shape != (2,):
        raise ValueError(f"it gives an array of shape {probabilities.shape} for 2 records, not one number for each")
    if not np.all((probabilities >= 0) & (probabilities <= 1)):
        raise ValueError(
            f"it gives {probabilities.tolist()} for a record of zeros and one of missing values; these must be "
            "probabilities between 0 and 1"
        )


def _is_row_by_row(model: ServingModel) -> bool:
    """Vectorised functions, such as a calibration's logarithm, round a row differently by its place in a batch."""
    random = np.random.default_rng(0)
    rows = random.standard_normal((_TRIED, len(model.signature.names)), dtype=np.float32) * 10
    rows[random.random(rows.shape) < 0.2] = np.nan
    try:
        alone = _in_batches(model, rows, 1)
        return all(np.array_equal(alone, _in_batches(model, rows, size)) for size in (2, 3, 5, 8, 13, _TRIED))
    except ONNX_ERRORS:
        # Its inputs need not be such as these: it is asked about each request by itself.
        return False


def _in_batches(model: ServingModel, rows: np.ndarray, size: int) -> np.ndarray:
    return np.concatenate([model.score_matrix(rows[start : start + size]) for start in range(0, len(rows), size)])
