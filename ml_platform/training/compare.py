"""Scores challenger and champion on one window that neither was fitted on, under Dagster Pipes; decides nothing."""

import base64
import sys
from datetime import date, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import numpy as np

from dbx_jobs.contract import Days
from ml_platform.core.gate import Evidence, SliceEvidence
from ml_platform.errors import RegistryError
from ml_platform.scoring.encoding import EncodingError
from ml_platform.training import metrics, plots
from ml_platform.training.contract import SERVING_PATH, CompareReport, CompareRequest, FeatureTable
from ml_platform.training.data import Rows, read_rows
from ml_platform.training.mlflow_store import mlflow_client
from ml_platform.training.program import Progress, run_program

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

SLICE_RESAMPLES = 300
NEEDED_TAGS = ("features_uri", "features_version", "fitted_until", "holdout_start", "holdout_end")


def compare(request: CompareRequest, log: Progress) -> CompareReport:
    """The evidence for the gate.

    Raises RegistryError when the challenger cannot be scored; a champion that cannot be is named in the evidence.
    """

    metrics.check_metric(request.metric.name, request.metric.direction)
    client = mlflow_client(request.tracking.uri)
    challenger = _version(client, request, request.challenger_version)
    champion, problem, other = None, None, None
    if request.champion_version:
        try:
            champion = _version(client, request, request.champion_version)
        except RegistryError as error:
            problem = str(error)
    window = _frozen_window(challenger, champion)
    if window is None:
        log("no day of the challenger's holdout is new to the champion")
        return CompareReport(_evidence(request, None, np.empty(0), None, problem), {})
    table = FeatureTable(challenger.tags["features_uri"], int(challenger.tags["features_version"]), request.roles)
    rows = read_rows(table, window)
    log(f"frozen window {window.start} to {window.end}: {len(rows):,} labelled rows")
    score = _score(client, challenger, rows, request.threads)
    if champion:
        try:
            other = _score(client, champion, rows, request.threads)
        except RegistryError as error:
            problem = str(error)
    evidence = _evidence(request, rows, score, other, problem)
    for name, values in (("challenger", evidence.challenger), ("champion", evidence.champion)):
        log(f"{name}: {', '.join(f'{metric} {value:.4f}' for metric, value in values.items()) or 'none'}")
    return CompareReport(evidence, _pictures(request, evidence))


def _version(client: "MlflowClient", request: CompareRequest, number: str) -> "ModelVersion":
    from mlflow.exceptions import MlflowException

    try:
        found = client.get_model_version(request.tracking.model, number)
    except MlflowException as error:
        raise RegistryError(f"{request.tracking.model} version {number} cannot be read: {error}") from error
    if absent := [name for name in NEEDED_TAGS if name not in found.tags]:
        raise RegistryError(f"{found.name} version {number} lacks the tags {absent}; train it with this program")
    return found


def _frozen_window(challenger: "ModelVersion", champion: "ModelVersion | None") -> Days | None:
    """The challenger's holdout days after the last one that the champion was fitted or tuned on, if there are any."""
    start, end = challenger.tags["holdout_start"], challenger.tags["holdout_end"]
    if champion:
        after = date.fromisoformat(champion.tags["fitted_until"]) + timedelta(days=1)
        start = max(start, after.isoformat())
    return Days(start, end) if start <= end else None


def _score(client: "MlflowClient", version: "ModelVersion", rows: Rows, threads: int) -> np.ndarray:
    """The version's probabilities [n], from its own signature and ONNX model; raises RegistryError."""
    from mlflow.exceptions import MlflowException

    from ml_platform.scoring.pyfunc import ServingModel

    name = f"{version.name} version {version.version}"
    try:
        with TemporaryDirectory() as scratch:
            directory = Path(client.download_artifacts(str(version.run_id), SERVING_PATH, scratch))
            return ServingModel(directory, threads).score_columns(rows.columns())
    except (EncodingError, MlflowException, OSError) as error:
        raise RegistryError(f"{name} cannot score the frozen window: {error}") from error


def _evidence(
    request: CompareRequest, rows: Rows | None, score: np.ndarray, other: np.ndarray | None, problem: str | None
) -> Evidence:
    versions = {"challenger_version": request.challenger_version, "champion_version": request.champion_version}
    if rows is None:
        return Evidence(**versions, window=[], rows=0, positives=0, challenger={}, champion_problem=problem)
    name = request.metric.name
    bootstrap = metrics.DayBootstrap(rows.day, request.seed)
    return Evidence(
        **versions,
        window=sorted(set(rows.day.tolist())),
        rows=len(rows),
        positives=int(rows.label.sum()),
        challenger=_values(rows, score),
        champion={} if other is None else _values(rows, other),
        champion_problem=problem,
        difference=None if other is None else bootstrap.difference(name, rows.label, score, other),
        slices=[] if other is None else _slices(request, rows, score, other),
    )


def _values(rows: Rows, score: np.ndarray) -> dict[str, float]:
    return {name: metrics.value(name, rows.label, score) for name in metrics.METRICS}


def _slices(request: CompareRequest, rows: Rows, score: np.ndarray, other: np.ndarray) -> list[SliceEvidence]:
    """Slices with enough rows; one with a single class is left out, as ranking metrics do not exist on it."""
    name, found = request.metric.name, []
    for column in request.slices:
        for label, mask in rows.slices(column):
            part = rows.where(mask)
            if len(part) < request.min_slice_rows or len(set(part.label.tolist())) < 2:
                continue
            bootstrap = metrics.DayBootstrap(part.day, request.seed, SLICE_RESAMPLES)
            values = [metrics.value(name, part.label, scores[mask]) for scores in (score, other)]
            change = bootstrap.difference(name, part.label, score[mask], other[mask])
            found.append(SliceEvidence(label, len(part), values[0], values[1], change))
    return found


def _pictures(request: CompareRequest, evidence: Evidence) -> dict[str, str]:
    if not evidence.slices:
        return {}
    picture = plots.differences(evidence.slices, evidence.difference, request.metric.name)
    return {"differences": base64.b64encode(picture).decode()}


if __name__ == "__main__":
    sys.exit(run_program(CompareRequest, compare))
