"""Exports a fitted estimator, with its calibration, to ONNX and holds both against each other."""

import copy
import re
from pathlib import Path
from typing import Any, cast

import numpy as np
import onnx
from onnx import TensorProto, helper

from ml_platform.errors import SpecError
from ml_platform.scoring.encoding import MODEL_FILE, Signature, write_signature
from ml_platform.scoring.pyfunc import ServingModel
from ml_platform.training.calibration import CLIP, Platt
from ml_platform.training.estimator import probability

OPSETS = {"": 21, "ai.onnx.ml": 3}
PARITY = 1e-5
"""The largest accepted difference in probability; float32 sums over some hundred trees differ by 1e-7."""


class ParityError(ValueError):
    """The ONNX model's probabilities are not the estimator's."""


def write_serving_directory(estimator: Any, platt: Platt | None, signature: Signature, directory: Path) -> None:
    """Write model.onnx and signature.json; raises SpecError when the estimator has no ONNX converter."""
    model = _with_probability(_convert(estimator, len(signature.inputs)), platt, signature)
    # The converters list the operator sets in the order of a set of strings, which differs between processes.
    operator_sets = sorted(model.opset_import, key=lambda item: item.domain)
    del model.opset_import[:]
    model.opset_import.extend(operator_sets)
    onnx.checker.check_model(model)
    directory.mkdir(parents=True, exist_ok=True)
    (directory / MODEL_FILE).write_bytes(model.SerializeToString(deterministic=True))
    write_signature(signature, directory)


def check_parity(estimator: Any, platt: Platt | None, directory: Path, matrix: np.ndarray) -> float:
    """The largest absolute difference in probability over `matrix` and over a copy with a third of its values missing.

    Serving meets missing values and unknown categories that the holdout may lack. Raises ParityError above `PARITY`.
    """
    served = ServingModel(directory)
    holes = np.where(np.random.default_rng(0).random(matrix.shape) < 1 / 3, np.float32(np.nan), matrix)
    worst = 0.0
    for rows in [matrix, holes] if np.isnan(matrix).any() else [matrix]:
        expected = probability(estimator, rows)
        expected = platt(expected) if platt else expected
        worst = max(worst, float(np.abs(served.score_matrix(rows) - expected).max()))
    if not worst <= PARITY:
        raise ParityError(f"ONNX and {type(estimator).__name__} differ by {worst:g} in probability, above {PARITY:g}")
    return worst


def _convert(estimator: Any, width: int) -> onnx.ModelProto:
    """The estimator as ONNX with an output `probabilities` [n, 2]."""
    from skl2onnx import to_onnx
    from skl2onnx.common.data_types import FloatTensorType
    from skl2onnx.common.exceptions import MissingConverter, MissingShapeCalculator

    if type(estimator).__module__.startswith("lightgbm"):
        estimator = _lightgbm_for_float32(estimator)
    inputs: Any = [("features", FloatTensorType([None, width]))]
    options = {id(estimator): {"zipmap": False}}
    try:
        model = to_onnx(estimator, initial_types=inputs, options=options, target_opset=OPSETS)
    except (MissingConverter, MissingShapeCalculator) as error:
        raise SpecError(
            f"{type(estimator).__name__} has no ONNX converter: take a LightGBM or scikit-learn classifier, or "
            "register a converter with skl2onnx.update_registered_converter"
        ) from error
    return cast(onnx.ModelProto, model)


def _lightgbm_for_float32(estimator: Any) -> Any:
    """The same trees with thresholds rounded down to float32, and their converter registered.

    ONNX holds float32 thresholds. Rounded to the nearest, one may reach the next value up, and a row with just that
    value would take the other branch; rounded down, `x <= threshold` stays the same for every float32 x.
    """
    from lightgbm import Booster, LGBMClassifier
    from onnxmltools.convert.lightgbm.operator_converters.LightGbm import convert_lightgbm
    from skl2onnx import update_registered_converter
    from skl2onnx.common.shape_calculator import calculate_linear_classifier_output_shapes

    update_registered_converter(
        LGBMClassifier,
        "LightGbmLGBMClassifier",
        calculate_linear_classifier_output_shapes,
        convert_lightgbm,
        options={"nocl": [True, False], "zipmap": [True, False, "columns"]},
    )
    text = re.sub(r"^threshold=(.*)$", _round_down, estimator.booster_.model_to_string(), flags=re.MULTILINE)
    text = re.sub(r"^tree_sizes=.*\n", "", text, flags=re.MULTILINE)  # in bytes of the text as it was
    rounded = copy.copy(estimator)
    rounded._Booster = Booster(model_str=text)  # there is no public way to give a fitted wrapper other trees
    return rounded


def _round_down(line: re.Match[str]) -> str:
    exact = np.array(line.group(1).split(), dtype=np.float64)
    nearest = exact.astype(np.float32)
    below = np.where(nearest > exact, np.nextafter(nearest, np.float32(-np.inf)), nearest)
    return "threshold=" + " ".join(repr(float(value)) for value in below)


def _with_probability(model: onnx.ModelProto, platt: Platt | None, signature: Signature) -> onnx.ModelProto:
    """The model with one output: the positive class's probability [n], calibrated."""
    from skl2onnx.helpers.onnx_helper import select_model_inputs_outputs

    model = select_model_inputs_outputs(model, outputs=["probabilities"])
    graph = model.graph
    nodes = [helper.make_node("Gather", ["probabilities", "positive"], ["raw"], axis=1)]
    constants = [helper.make_tensor("positive", TensorProto.INT64, [], [1])]
    if platt is None:
        nodes.append(helper.make_node("Identity", ["raw"], [signature.onnx_output]))
    else:
        numbers = {"low": CLIP, "high": 1 - CLIP, "one": 1.0, "slope": platt.slope, "intercept": platt.intercept}
        constants += [helper.make_tensor(name, TensorProto.FLOAT, [], [value]) for name, value in numbers.items()]
        nodes += [
            helper.make_node("Clip", ["raw", "low", "high"], ["clipped"]),
            helper.make_node("Sub", ["one", "clipped"], ["rest"]),
            helper.make_node("Div", ["clipped", "rest"], ["odds"]),
            helper.make_node("Log", ["odds"], ["log_odds"]),
            helper.make_node("Mul", ["log_odds", "slope"], ["scaled"]),
            helper.make_node("Add", ["scaled", "intercept"], ["shifted"]),
            helper.make_node("Sigmoid", ["shifted"], [signature.onnx_output]),
        ]
    graph.node.extend(nodes)
    graph.initializer.extend(constants)
    del graph.output[:]
    graph.output.append(helper.make_tensor_value_info(signature.onnx_output, TensorProto.FLOAT, [None]))
    return model
