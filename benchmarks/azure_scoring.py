"""The entry script of Azure ML's inference server as teams write it: a pickled pipeline that takes a pandas DataFrame.

It runs in an environment of its own, without this platform.
"""

import json
import os
from pathlib import Path

import joblib
import pandas as pd


def init() -> None:
    """Load the pipeline once."""
    global pipeline
    pipeline = joblib.load(Path(os.environ["AZUREML_MODEL_DIR"]) / "pipeline.joblib")


def run(raw: str) -> dict[str, list[dict[str, float]]]:
    """Score {"data": [record, ...]}."""
    frame = pd.DataFrame(json.loads(raw)["data"])
    scores = pipeline.predict_proba(frame)[:, 1]
    return {"predictions": [{"probability": score} for score in scores.tolist()]}
