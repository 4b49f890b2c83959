"""Trains one model version: read, split, search, fit, calibrate, judge, export, register. Runs under Dagster Pipes."""

import base64
import sys
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from dbx_jobs.contract import from_dict
from ml_platform.scoring.encoding import OUTPUT, Encoder, Input, Signature
from ml_platform.training import metrics, plots
from ml_platform.training.baseline import write_baseline
from ml_platform.training.card import model_card
from ml_platform.training.contract import REPORT_PATH, TrainingReport, TrainingRequest
from ml_platform.training.data import Rows, read_rows, split_by_time
from ml_platform.training.export import check_parity, write_serving_directory
from ml_platform.training.learning import Fitted, Judged, fit, importances, judge
from ml_platform.training.program import Progress, run_program
from ml_platform.training.reference import write_reference
from ml_platform.training.tracking import TrainingRun, fingerprint, report_bytes


def train(request: TrainingRequest, log: Progress) -> TrainingReport:
    """Train and register, or give the version that an equal request has registered before."""
    metrics.check_metric(request.metric.name, request.metric.direction)
    run = TrainingRun(request.tracking, fingerprint(request))
    with TemporaryDirectory() as scratch:
        if earlier := run.registered():
            log(f"version {earlier.version} of {earlier.name} has this fingerprint already: nothing to train")
            known = run.report_of(earlier, Path(scratch)) | {"version": str(earlier.version), "reused": True}
            return from_dict(TrainingReport, known)
        run.start({"product": request.product, "code_revision": request.code_revision})
        try:
            return _train(request, run, Path(scratch), log)
        except BaseException:
            run.fail()
            raise


def _train(request: TrainingRequest, run: TrainingRun, scratch: Path, log: Progress) -> TrainingReport:
    rows = read_rows(request.features, request.window)
    split = split_by_time(rows, request)
    log(f"read {len(rows):,} labelled rows with {len(rows.kinds)} features at version {request.features.version}")
    known = rows.where(rows.day <= split.days["validation"].end)
    signature = declare(request, known, run.fingerprint)
    encoder = Encoder(signature)
    fitted = fit(request, split, known, encoder, log)
    matrix = encoder.encode_columns(split.holdout.columns())
    judged = judge(request, split.holdout, matrix, fitted)
    log(f"holdout: {', '.join(f'{name} {value.point:.4f}' for name, value in judged.metrics.items())}")
    serving = scratch / "serving"
    write_serving_directory(fitted.estimator, fitted.platt, signature, serving)
    parity = check_parity(fitted.estimator, fitted.platt, serving, matrix)
    write_baseline(known, judged.score, signature, serving)
    weight = importances(request, split.holdout, matrix, fitted)
    by_feature = dict(zip(signature.names, map(float, weight), strict=True))
    write_reference(serving, request.window.end, split.holdout.day, split.holdout.label, judged.score, by_feature)
    log(f"exported to ONNX, largest difference {parity:.1e}")
    pictures = _pictures(request, split.holdout, weight, fitted, judged, signature)
    parts = split.parts()
    report = TrainingReport(
        model=request.tracking.model,
        version="",
        run_id=run.run_id,
        experiment_id=run.experiment_id,
        fingerprint=run.fingerprint,
        reused=False,
        estimator=request.estimator,
        parameters=fitted.parameters,
        parts=parts,
        metrics=judged.metrics,
        slices=judged.slices,
        calibration=fitted.calibration,
        parity=parity,
        features=list(signature.names),
        plots={name: base64.b64encode(content).decode() for name, content in pictures.items()},
        card=model_card(
            request,
            parts,
            judged.metrics,
            judged.slices,
            fitted.calibration,
            fitted.parameters,
            list(signature.names),
            run.fingerprint,
        ),
        trials=fitted.trials,
    )
    example = split.holdout.features.head(5)
    run.log(_parameters(request, report), _numbers(report, request.metric.name))
    run.log_model(serving, example, signature.output, scratch)
    files = {f"plots/{name}.png": content for name, content in pictures.items()}
    run.log_files({**files, "card.md": report.card.encode(), REPORT_PATH: report_bytes(report)}, scratch)
    version = run.register(_tags(request, report))
    log(f"registered {request.tracking.model} version {version}")
    return replace(report, version=version)


def declare(request: TrainingRequest, rows: Rows, fingerprint: str) -> Signature:
    """The signature of the features; categories in alphabetical order."""
    inputs = [
        Input(name, "numeric") if kind == "numeric" else Input(name, "categorical", _categories(rows, name))
        for name, kind in rows.kinds.items()
    ]
    facts = {
        "product": request.product,
        "estimator": request.estimator,
        "window": f"{request.window.start}/{request.window.end}",
        "fingerprint": fingerprint,
    }
    return Signature(tuple(inputs), output=OUTPUT, facts=facts)


def _categories(rows: Rows, name: str) -> tuple[str, ...]:
    return tuple(sorted(rows.features[name].dropna().unique().tolist()))


def _pictures(
    request: TrainingRequest, holdout: Rows, weight: np.ndarray, fitted: Fitted, judged: Judged, signature: Signature
) -> dict[str, bytes]:
    name = request.metric.name
    pictures = {
        "curves": plots.curves(holdout.label, judged.score),
        "calibration": plots.calibration_curve(holdout.label, judged.score, judged.raw),
        "importances": plots.importances(list(signature.names), weight, name),
    }
    if judged.slices:
        pictures["slices"] = plots.slice_metrics(judged.slices, judged.metrics[name].point, name)
    if values := [trial.value for trial in fitted.trials if trial.value is not None]:
        pictures["search"] = plots.tuning(values, name)
    return pictures


def _parameters(request: TrainingRequest, report: TrainingReport) -> dict[str, Any]:
    return {
        "estimator": request.estimator,
        **report.parameters,
        "features_version": request.features.version,
        "window": f"{request.window.start}/{request.window.end}",
        "seed": request.seed,
        "trials": request.trials,
        "calibrated": report.calibration.kept,
    }


def _numbers(report: TrainingReport, metric: str) -> dict[str, float]:
    numbers: dict[str, float] = {"onnx_parity": report.parity}
    for name, value in report.metrics.items():
        numbers |= {name: value.point, f"{name}/lower": value.lower, f"{name}/upper": value.upper}
    for item in report.slices:
        numbers[f"slice/{item.name.replace('=', '/')}/{metric}"] = item.metric.point
    return {name: value for name, value in numbers.items() if np.isfinite(value)}


def _tags(request: TrainingRequest, report: TrainingReport) -> dict[str, str]:
    """What the gate and a person need to know about a version without opening it."""
    return {
        "product": request.product,
        "features_uri": request.features.uri,
        "features_version": str(request.features.version),
        "code_revision": request.code_revision,
        "window_start": request.window.start,
        "fitted_until": report.parts["validation"].days.end,
        "holdout_start": report.parts["holdout"].days.start,
        "holdout_end": report.parts["holdout"].days.end,
    }


if __name__ == "__main__":
    sys.exit(run_program(TrainingRequest, train))
