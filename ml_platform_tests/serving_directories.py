"""Makes small serving directories: a logistic model with one numeric and one categorical input."""

from collections.abc import Sequence
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


def write_wide_directory(directory: Path, inputs: Sequence[Input]) -> Path:
    """A model of many inputs: p = sigmoid(their mean, a missing value counting as 0)."""
    directory.mkdir(parents=True)
    write_signature(Signature(tuple(inputs), output="probability", facts={"estimator": "mean"}), directory)
    nodes = [
        *_NODES[:2],
        helper.make_node("ReduceMean", ["filled"], ["mean"], axes=[1], keepdims=0),
        helper.make_node("Sigmoid", ["mean"], ["probability"]),
    ]
    model = _model(nodes, {"zero": _CONSTANTS["zero"]}, len(inputs))
    (directory / MODEL_FILE).write_bytes(model.SerializeToString())
    return directory


def write_failing_directory(directory: Path) -> Path:
    """A model that answers its examples and fails about distances that are 1 or more, or less than -1."""
    nodes = [
        *_NODES,
        helper.make_node("Slice", ["filled", "first", "second", "axis"], ["distance"]),
        helper.make_node("Cast", ["distance"], ["place"], to=TensorProto.INT64),
        helper.make_node("Gather", ["places", "place"], ["nothing"]),
        helper.make_node("Add", ["column", "nothing"], ["sum"]),
        helper.make_node("Squeeze", ["sum", "axis"], ["probability"]),
    ]
    places = {"places": np.zeros(1, np.float32), "first": np.array([0]), "second": np.array([1])}
    return _rewritten(directory, nodes, places)


def write_slow_directory(directory: Path, width: int = 600) -> Path:
    """A model that gives the same and takes a thousand times as many steps for it, or with more `width` more."""
    layers = [helper.make_node("MatMul", [f"layer{n}", "square"], [f"layer{n + 1}"]) for n in range(12)]
    nodes = [
        *_NODES,
        helper.make_node("MatMul", ["filled", "wide"], ["layer0"]),
        *layers,
        helper.make_node("ReduceMax", ["layer12"], ["nothing"], axes=[1]),
        helper.make_node("Add", ["column", "nothing"], ["sum"]),
        helper.make_node("Squeeze", ["sum", "axis"], ["probability"]),
    ]
    zeros = {"wide": np.zeros((2, width), np.float32), "square": np.zeros((width, width), np.float32)}
    return _rewritten(directory, nodes, zeros)


def write_constant_directory(directory: Path) -> Path:
    """A model that gives the same for every record."""
    return _rewritten(
        directory,
        [*_NODES, helper.make_node("Squeeze", ["column", "axis"], ["probability"])],
        {"weights": np.zeros((2, 1), np.float32)},
    )


def _rewritten(directory: Path, nodes: list[onnx.NodeProto], constants: dict[str, np.ndarray]) -> Path:
    write_serving_directory(directory)
    (directory / MODEL_FILE).write_bytes(_model(nodes, _CONSTANTS | constants).SerializeToString())
    return directory


def probability(distance: float, code: float, bias: float = -1.0) -> float:
    """What the model gives."""
    return float(1 / (1 + np.exp(-(0.5 * distance + 0.25 * code + bias))))


_CONSTANTS: dict[str, np.ndarray] = {
    "zero": np.array(0, np.float32),
    "weights": np.array([[0.5], [0.25]], np.float32),
    "bias": np.array(-1, np.float32),
    "axis": np.array([1], np.int64),
}
_NODES = [
    helper.make_node("IsNaN", ["features"], ["missing"]),
    helper.make_node("Where", ["missing", "zero", "features"], ["filled"]),
    helper.make_node("MatMul", ["filled", "weights"], ["product"]),
    helper.make_node("Add", ["product", "bias"], ["logit"]),
    helper.make_node("Sigmoid", ["logit"], ["column"]),
]


def _logistic(bias: float) -> onnx.ModelProto:
    nodes = [*_NODES, helper.make_node("Squeeze", ["column", "axis"], ["probability"])]
    return _model(nodes, _CONSTANTS | {"bias": np.array(bias, np.float32)})


def _model(nodes: list[onnx.NodeProto], constants: dict[str, np.ndarray], width: int = 2) -> onnx.ModelProto:
    graph = helper.make_graph(
        nodes,
        "logistic",
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, ["n", width])],
        [helper.make_tensor_value_info("probability", TensorProto.FLOAT, ["n"])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
