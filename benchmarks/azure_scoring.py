"""The entry script of Azure ML's inference server for a serving directory: JSON to pandas, preprocess, predict.

It runs in an environment of its own, without this platform. A team would load a pickled pipeline; none is kept here,
and the ONNX session is the faster of the two.
"""

import json
import os
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pandas as pd


def init() -> None:
    """Load the model once."""
    global session, signature
    directory = Path(os.environ["AZUREML_MODEL_DIR"])
    signature = json.loads((directory / "signature.json").read_text())
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = ort.InferenceSession(str(directory / "model.onnx"), options, providers=["CPUExecutionProvider"])


def run(raw: str) -> dict[str, list[dict[str, float]]]:
    """Score {"data": [record, ...]}."""
    frame = preprocess(pd.DataFrame(json.loads(raw)["data"]))
    matrix = frame.to_numpy(dtype=np.float32)
    scores = np.asarray(session.run([signature["onnx_output"]], {signature["onnx_input"]: matrix})[0])
    return {"predictions": [{signature["output"]: score} for score in scores.tolist()]}


def preprocess(frame: pd.DataFrame) -> pd.DataFrame:
    """The columns that the model takes, categories as their codes."""
    columns = {}
    for item in signature["inputs"]:
        column = frame[item["name"]]
        if item["kind"] == "categorical":
            codes = pd.Series(pd.Categorical(column, categories=item["categories"]).codes)
            column = codes.where(codes >= 0)
        columns[item["name"]] = column
    return pd.DataFrame(columns)
