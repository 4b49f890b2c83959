"""Learns from train and validation, and judges what was learned on the holdout."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from ml_platform.core.gate import Interval
from ml_platform.scoring.encoding import Encoder
from ml_platform.training import metrics
from ml_platform.training.calibration import Platt, calibrate
from ml_platform.training.contract import Calibration, SliceMetric, TrainingRequest, Trial
from ml_platform.training.data import Rows, Split
from ml_platform.training.estimator import build_estimator, probability, search
from ml_platform.training.program import Progress

SLICE_RESAMPLES = 200
IMPORTANCE_ROWS = 4000


@dataclass(frozen=True)
class Fitted:
    """What learning gave: the estimator on train and validation, its calibration, and how it was found."""

    estimator: Any
    platt: Platt | None
    calibration: Calibration
    parameters: dict[str, Any]
    trials: list[Trial]


@dataclass(frozen=True)
class Judged:
    """What the holdout said: probabilities [n] before and after calibration, metrics and slices."""

    raw: np.ndarray
    score: np.ndarray
    metrics: dict[str, Interval]
    slices: list[SliceMetric]


def fit(request: TrainingRequest, split: Split, known: Rows, encoder: Encoder, log: Progress) -> Fitted:
    """Search and calibrate with the validation days left out of the fit, then fit on them too.

    The calibration map is kept for the refitted estimator, as in scikit-learn's CalibratedClassifierCV(ensemble=False).
    """
    early = (encoder.encode_columns(split.train.columns()), split.train.label)
    check = (encoder.encode_columns(split.validation.columns()), split.validation.label)
    found, trials = search(request, early, check, log)
    trial = build_estimator(request, found).fit(*early)
    platt, calibration = calibrate(split.validation, probability(trial, check[0]))
    log(f"calibration {'kept' if platt else 'not kept: it did not help on the later validation days'}")
    estimator = build_estimator(request, found).fit(encoder.encode_columns(known.columns()), known.label)
    return Fitted(estimator, platt, calibration, {**request.parameters, **found}, trials)


def judge(request: TrainingRequest, holdout: Rows, matrix: np.ndarray, fitted: Fitted) -> Judged:
    """Every metric on the holdout, and the declared one on its slices, with intervals over days."""
    raw = probability(fitted.estimator, matrix)
    score = fitted.platt(raw) if fitted.platt else raw
    bootstrap = metrics.DayBootstrap(holdout.day, request.seed)
    overall = {name: bootstrap.interval(name, holdout.label, score) for name in metrics.METRICS}
    return Judged(raw, score, overall, _slices(request, holdout, score))


def _slices(request: TrainingRequest, holdout: Rows, score: np.ndarray) -> list[SliceMetric]:
    found = []
    for column in request.slices:
        for name, mask in holdout.slices(column):
            part = holdout.where(mask)
            bootstrap = metrics.DayBootstrap(part.day, request.seed, SLICE_RESAMPLES)
            interval = bootstrap.interval(request.metric.name, part.label, score[mask])
            if np.isfinite(interval.point):  # some have no positive
                found.append(SliceMetric(name, len(part), int(part.label.sum()), interval))
    return found


def importances(request: TrainingRequest, holdout: Rows, matrix: np.ndarray, fitted: Fitted) -> np.ndarray:
    """How much the declared metric suffers when a feature is permuted (Breiman 2001), on some of the holdout [F]."""
    from sklearn.inspection import permutation_importance

    sign = 1 if request.metric.direction == "maximize" else -1
    some = np.random.default_rng(request.seed).permutation(len(holdout))[:IMPORTANCE_ROWS]
    result = permutation_importance(
        fitted.estimator,
        matrix[some],
        holdout.label[some],
        scoring=lambda model, x, y: sign * metrics.value(request.metric.name, y, probability(model, x)),
        n_repeats=2,
        random_state=request.seed,
    )
    return np.asarray(result["importances_mean"])
