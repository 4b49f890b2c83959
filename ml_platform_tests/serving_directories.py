"""Makes small serving directories: a logistic model with one numeric and one categorical input."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from ml_platform.scoring.encoding import MODEL_FILE, Input, Signature, write_signature

CARRIERS = ("AA", "UA", "US")
RECORD: dict[str, Any] = {
    "distance": 1.5,
    "carrier": "UA",
    "flight_id": "2013-04-01-UA-1545-EWR",
    "sched_dep_at": "2013-04-01T09:15:00Z",
}
"""A record of the model with its key columns."""


def write_serving_directory(directory: Path, bias: float = -1.0) -> Path:
    """Write a model of p = sigmoid(0.5 distance + 0.25 carrier code + bias), a missing value counting as 0."""
    directory.mkdir(parents=True)
    inputs = (Input("distance", "numeric"), Input("carrier", "categorical", CARRIERS))
    write_signature(Signature(inputs, output="probability", facts={"estimator": "logistic"}), directory)
    (directory / MODEL_FILE).write_bytes(_logistic(bias).SerializeToString())
    return directory


def probability(distance: float, code: float, bias: float = -1.0) -> float:
    """What the model gives."""
    return float(1 / (1 + np.exp(-(0.5 * distance + 0.25 * code + bias))))


def _logistic(bias: float) -> onnx.ModelProto:
    constants = {
        "zero": np.array(0, np.float32),
        "weights": np.array([[0.5], [0.25]], np.float32),
        "bias": np.array(bias, np.float32),
        "axis": np.array([1], np.int64),
    }
    nodes = [
        helper.make_node("IsNaN", ["features"], ["missing"]),
        helper.make_node("Where", ["missing", "zero", "features"], ["filled"]),
        helper.make_node("MatMul", ["filled", "weights"], ["product"]),
        helper.make_node("Add", ["product", "bias"], ["logit"]),
        helper.make_node("Sigmoid", ["logit"], ["column"]),
        helper.make_node("Squeeze", ["column", "axis"], ["probability"]),
    ]
    graph = helper.make_graph(
        nodes,
        "logistic",
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, ["n", 2])],
        [helper.make_tensor_value_info("probability", TensorProto.FLOAT, ["n"])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
