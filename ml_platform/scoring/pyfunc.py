"""Loads a serving directory with ONNX Runtime; MLflow's `loader_module` of every registered model."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ml_platform.scoring.encoding import MODEL_FILE, Encoder, EncodingError, read_signature

if TYPE_CHECKING:
    import pandas as pd


class ServingModel:
    """The model of a serving directory; raises EncodingError when the directory holds no readable model."""

    def __init__(self, directory: Path, threads: int = 1) -> None:
        import onnxruntime as ort

        self.signature = read_signature(directory)
        self._encoder = Encoder(self.signature)
        path = directory / MODEL_FILE
        if not path.is_file():
            raise EncodingError(f"{path} is missing: this is no serving directory")
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            self._session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except _unreadable() as error:
            raise EncodingError(f"{path} is no ONNX model: {error}") from error
        width = self._session.get_inputs()[0].shape[1]
        if width != len(self.signature.inputs):
            raise EncodingError(f"{path} takes {width} inputs, its signature names {len(self.signature.inputs)}")

    def score_matrix(self, matrix: np.ndarray) -> np.ndarray:
        """Probabilities float32 [n] of an encoded float32 matrix [n, F]."""
        return np.asarray(self._session.run([self.signature.onnx_output], {self.signature.onnx_input: matrix})[0])

    def score_columns(self, columns: Mapping[str, Iterable[Any]]) -> np.ndarray:
        """Probabilities float32 [n] of raw named columns; raises EncodingError when one is missing or mistyped."""
        return self.score_matrix(self._encoder.encode_columns(columns))

    def predict(self, model_input: "pd.DataFrame", params: dict[str, Any] | None = None) -> "pd.DataFrame":
        """MLflow's entry: a frame of raw named columns to a frame with the one output column."""
        import pandas as pd

        columns = {name: model_input[name].to_numpy() for name in model_input.columns}
        return pd.DataFrame({self.signature.output: self.score_columns(columns)}, index=model_input.index)


def _unreadable() -> tuple[type[Exception], ...]:
    """What ONNX Runtime raises on a file that is no model; its errors share no class of their own."""
    from onnxruntime.capi import onnxruntime_pybind11_state as state  # pyright: ignore[reportAttributeAccessIssue]

    return (state.InvalidProtobuf, state.InvalidGraph, state.Fail, state.NotImplemented)


def _load_pyfunc(path: str) -> ServingModel:
    return ServingModel(Path(path))
