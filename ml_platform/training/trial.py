"""One trial of a sweep job: fits what the job asks for, and tells its metric to MLflow, first on a part of the data.

`python -m ml_platform.training.trial LAKE PATH --name value ...`: the training request lies at PATH in LAKE; the names
are those of its search space. The MLflow run is the one that Azure ML made for the trial.
"""

import json
import os
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np

from dbx_jobs.contract import from_dict
from ml_platform.scoring.encoding import Encoder
from ml_platform.training import metrics
from ml_platform.training.blobs import open_container
from ml_platform.training.contract import TrainingRequest
from ml_platform.training.data import Rows, read_rows, split_by_time
from ml_platform.training.estimator import build_estimator, probability
from ml_platform.training.mlflow_store import mlflow_client
from ml_platform.training.program import prepare_process
from ml_platform.training.space import parsed
from ml_platform.training.train import declare

PARTS = (0.25, 1.0)
"""Shares of the training days, the latest of them, that a trial learns from in turn: a poor one is stopped early."""


def main(lake: str, path: str, *arguments: str) -> None:
    """Fit and tell."""
    from mlflow.entities import Param

    with open_container(lake) as container:
        request = from_dict(TrainingRequest, json.loads(container.download_blob(path).readall()))
    parameters = parsed(request.search_space, dict(zip(arguments[::2], arguments[1::2], strict=True)))
    client, run = mlflow_client(request.tracking.uri), os.environ["MLFLOW_RUN_ID"]
    client.log_batch(run, params=[Param(name, str(value)) for name, value in parameters.items()])
    for step, value in enumerate(values(request, parameters)):
        client.log_metric(run, request.metric.name, value, step=step)


def values(request: TrainingRequest, parameters: dict[str, Any]) -> Iterator[float]:
    """The declared metric on the validation days, after each of PARTS."""
    rows = read_rows(request.features, request.window)
    split = split_by_time(rows, request)
    known = rows.where(rows.day <= split.days["validation"].end)
    encoder = Encoder(declare(request, known, ""))
    check = encoder.encode_columns(split.validation.columns())
    for part in (_latest(split.train, share) for share in PARTS):
        model = build_estimator(request, parameters).fit(encoder.encode_columns(part.columns()), part.label)
        yield metrics.value(request.metric.name, split.validation.label, probability(model, check))


def _latest(rows: Rows, share: float) -> Rows:
    """The rows of the latest share of the days."""
    days = np.unique(rows.day)
    return rows.where(rows.day >= days[-max(1, round(len(days) * share))])


if __name__ == "__main__":
    prepare_process()
    main(*sys.argv[1:])
