"""One model version made ready to answer: loaded, checked, with its reader of records and its documents."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import numpy as np
import onnxruntime.capi.onnxruntime_pybind11_state as ort_errors
from msgspec.structs import astuple

from ml_platform.scoring.encoding import Encoder, Signature
from ml_platform.scoring.inference_log import Collection, log_heads
from ml_platform.scoring.openapi import openapi_document
from ml_platform.scoring.pyfunc import ServingModel
from ml_platform.scoring.records import Record, RecordReader, record_type
from ml_platform.scoring.state import Declared

_ONNX_ERRORS = (
    ort_errors.Fail,
    ort_errors.InvalidArgument,
    ort_errors.InvalidGraph,
    ort_errors.InvalidProtobuf,
    ort_errors.NotImplemented,
    ort_errors.RuntimeException,
)


class ModelRefused(Exception):
    """A declared model cannot be served; the message says why."""


@dataclass(frozen=True)
class Serving:
    """A declared model that has passed its check."""

    declared: Declared
    model: ServingModel
    encoder: Encoder
    reader: RecordReader
    log_root: Path
    log_heads: Mapping[Collection, bytes]
    openapi: bytes

    @property
    def key_columns(self) -> tuple[str, ...]:
        """The business key of a record: primary key, then event time; the last fields of a record."""
        return (*self.declared.endpoint.primary_key, self.declared.endpoint.event_time)

    def score(self, records: list[Record]) -> list[float]:
        """Probabilities [n] of validated records."""
        return self.model.score_matrix(self.encoder.encode_rows([astuple(record) for record in records])).tolist()


def load_serving(declared: Declared) -> Serving:
    """Load and check a declared model; raises ModelRefused."""
    deployment, endpoint = declared.endpoint.deployment, declared.endpoint
    try:
        model = ServingModel(Path(deployment.serving_dir))
        record = record_type(model.signature, endpoint.primary_key, endpoint.event_time)
        encoder = Encoder(model.signature)
        _check(model, encoder)
        return Serving(
            declared=declared,
            model=model,
            encoder=encoder,
            reader=RecordReader(record),
            log_root=local_path(declared.inference_log),
            log_heads=log_heads(declared),
            openapi=openapi_document(endpoint, model.signature, record),
        )
    except (OSError, ValueError, LookupError, TypeError, RuntimeError, *_ONNX_ERRORS) as error:
        where = f"{deployment.model_name} version {deployment.model_version} in {deployment.serving_dir}"
        raise ModelRefused(f"{where} cannot be served: {error}") from error


def example_records(signature: Signature) -> list[dict[str, Any]]:
    """Two records that any model must score: zeros with each first category, and one with every value missing."""
    present = {i.name: 0.0 if i.kind == "numeric" else next(iter(i.categories), None) for i in signature.inputs}
    return [present, dict.fromkeys(signature.names)]


def _check(model: ServingModel, encoder: Encoder) -> None:
    probabilities = model.score_matrix(encoder.encode_records(example_records(model.signature)))
    if probabilities.shape != (2,):
        raise ValueError(f"it gives an array of shape {probabilities.shape} for 2 records, not one number for each")
    if not np.all((probabilities >= 0) & (probabilities <= 1)):
        raise ValueError(
            f"it gives {probabilities.tolist()} for a record of zeros and one of missing values; these must be "
            "probabilities between 0 and 1"
        )


def local_path(location: str) -> Path:
    """The directory that a path or a file:// URI names; raises ValueError for any other scheme."""
    parts = urlsplit(location)
    if parts.scheme not in ("", "file"):
        raise ValueError(f"the inference log {location!r} is neither a directory nor a file:// URI")
    return Path(unquote(parts.path)) if parts.scheme else Path(location)
