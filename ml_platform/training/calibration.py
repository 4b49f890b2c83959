"""Platt scaling, kept only where it helps on days that it was not fitted on."""

from dataclasses import dataclass

import numpy as np

from ml_platform.training import metrics
from ml_platform.training.contract import Calibration
from ml_platform.training.data import Rows

CLIP = 1e-6


@dataclass(frozen=True)
class Platt:
    """The map sigmoid(slope * logit(p) + intercept) (Platt 1999, on the log odds)."""

    slope: float = 1.0
    intercept: float = 0.0

    def __call__(self, score: np.ndarray) -> np.ndarray:
        """Calibrated probabilities [n]."""
        return 1 / (1 + np.exp(-(self.slope * _logit(score) + self.intercept)))


def fit_platt(label: np.ndarray, score: np.ndarray) -> Platt:
    """Maximum-likelihood slope and intercept; both classes must be present."""
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(C=np.inf).fit(_logit(score)[:, None], label)
    return Platt(float(model.coef_[0, 0]), float(model.intercept_[0]))


def calibrate(validation: Rows, score: np.ndarray) -> tuple[Platt | None, Calibration]:
    """Fit on the first half of the validation days, judge on the second by log loss, keep and refit on all if better.

    A half with one class only, or a falling map, keeps nothing.
    """
    days = np.unique(validation.day)
    first = validation.day < days[len(days) // 2]
    label = validation.label
    if min(len(set(label[first].tolist())), len(set(label[~first].tolist()))) < 2:
        return None, Calibration(False, 1.0, 0.0)
    trial = fit_platt(label[first], score[first])
    before = metrics.value("log_loss", label[~first], score[~first])
    after = metrics.value("log_loss", label[~first], trial(score[~first]))
    final = fit_platt(label, score)
    if after >= before or final.slope <= 0:
        return None, Calibration(False, 1.0, 0.0, before, after)
    return final, Calibration(True, final.slope, final.intercept, before, after)


def _logit(score: np.ndarray) -> np.ndarray:
    clipped = np.clip(score, CLIP, 1 - CLIP)
    return np.log(clipped / (1 - clipped))
