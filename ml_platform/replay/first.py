"""The model that a replay began with, as its training registered it, and what a model says of past events."""

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from ml_platform.training.contract import REPORT_PATH, SERVING_PATH
from ml_platform.training.mlflow_store import mlflow_client

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd


@dataclass(frozen=True)
class FirstModel:
    """A registered version; its files are read where they are needed."""

    tracking_uri: str
    name: str
    version: str

    @cached_property
    def parameters(self) -> dict[str, Any]:
        """The hyperparameters that its training found."""
        with TemporaryDirectory() as scratch:
            return json.loads(self._downloaded(REPORT_PATH, scratch).read_text())["parameters"]

    def score(self, events: "pd.DataFrame", threads: int) -> "np.ndarray":
        """Probabilities [n] of `events` [n], its raw features among their columns."""
        with TemporaryDirectory() as scratch:
            return score(self._downloaded(SERVING_PATH, scratch), events, threads)

    def _downloaded(self, path: str, scratch: str) -> Path:

        client = mlflow_client(self.tracking_uri)
        run_id = client.get_model_version(self.name, self.version).run_id
        return Path(client.download_artifacts(str(run_id), path, scratch))


def score(directory: Path, events: "pd.DataFrame", threads: int) -> "np.ndarray":
    """Probabilities [n] of `events` [n] by the model of a serving directory."""
    from ml_platform.scoring.pyfunc import ServingModel

    model = ServingModel(directory, threads)
    return model.predict(events)[model.signature.output].to_numpy().astype("float64")
