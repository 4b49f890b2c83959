"""The ONNX model gives the calibrated estimator's probabilities, also where values are missing, or is refused."""

from pathlib import Path

import numpy as np
import pytest
from lightgbm import LGBMClassifier
from sklearn.base import BaseEstimator, ClassifierMixin

from ml_platform.errors import SpecError
from ml_platform.scoring.encoding import Input, Signature
from ml_platform.scoring.pyfunc import ServingModel
from ml_platform.training.calibration import Platt, calibrate
from ml_platform.training.data import Rows
from ml_platform.training.estimator import probability
from ml_platform.training.export import ParityError, check_parity, write_serving_directory

RANDOM = np.random.default_rng(0)
MATRIX = RANDOM.normal(size=(3000, 3)).astype(np.float32)
MATRIX[RANDOM.random(3000) < 0.1, 0] = np.nan
LABEL = (np.nan_to_num(MATRIX[:, 0]) + MATRIX[:, 1] + RANDOM.normal(size=3000) > 0.5).astype(np.int8)
SIGNATURE = Signature(tuple(Input(name, "numeric") for name in "abc"), output="p")


def fitted(**parameters: object) -> LGBMClassifier:
    return LGBMClassifier(n_estimators=30, n_jobs=1, verbosity=-1, **parameters).fit(MATRIX, LABEL)  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("platt", [None, Platt(1.7, -0.4), Platt(0.5, 0.3)])
def test_the_export_gives_the_same_probabilities_with_and_without_calibration(tmp_path: Path, platt: Platt | None):
    model = fitted()
    write_serving_directory(model, platt, SIGNATURE, tmp_path)
    assert check_parity(model, platt, tmp_path, MATRIX) < 1e-6
    raw = probability(model, MATRIX)
    expected = platt(raw) if platt else raw
    np.testing.assert_allclose(ServingModel(tmp_path).score_matrix(MATRIX), expected, atol=1e-6)


def test_an_export_that_differs_is_refused(tmp_path: Path):
    write_serving_directory(fitted(), None, SIGNATURE, tmp_path)
    with pytest.raises(ParityError, match="differ by"):
        check_parity(fitted(num_leaves=5), None, tmp_path, MATRIX)
    with pytest.raises(ParityError, match="differ by"):
        check_parity(fitted(), Platt(1.001, 0.0), tmp_path, MATRIX)


def test_a_value_just_above_a_threshold_takes_the_same_branch_in_float32(tmp_path: Path):
    below = np.float32(1034.2999)
    above = np.nextafter(below, np.float32(np.inf))
    top = np.nextafter(above, np.float32(np.inf))
    # The middle of two neighbours is no float32; the nearest to it is the upper one for one of the two pairs.
    column = np.repeat(np.array([below, above, top], dtype=np.float32), 1000)
    matrix = np.column_stack([column, np.zeros_like(column), np.zeros_like(column)])
    for boundary in (below, above):
        model = LGBMClassifier(n_estimators=5, n_jobs=1, verbosity=-1).fit(matrix, column > boundary)
        write_serving_directory(model, None, SIGNATURE, tmp_path)
        assert check_parity(model, None, tmp_path, matrix) < 1e-6


class Untranslatable(ClassifierMixin, BaseEstimator):
    """A classifier that no converter knows."""


def test_an_estimator_without_a_converter_is_refused_by_name(tmp_path: Path):
    with pytest.raises(SpecError, match="Untranslatable has no ONNX converter"):
        write_serving_directory(Untranslatable(), None, SIGNATURE, tmp_path)


def rows(label: np.ndarray) -> Rows:
    import pandas as pd

    days = np.repeat([f"2013-01-{day:02}" for day in range(1, 11)], len(label) // 10)
    return Rows(pd.DataFrame({"a": label}), {"a": "numeric"}, label, days)


def test_calibration_is_kept_where_it_helps_on_later_days_only():
    truth = RANDOM.uniform(0.05, 0.95, 3000)
    label = (RANDOM.random(3000) < truth).astype(np.int8)
    overconfident = Platt(2.5, 0.0)(truth)
    platt, report = calibrate(rows(label), overconfident)
    assert platt and report.kept and report.log_loss_before and report.log_loss_after
    assert report.log_loss_after < report.log_loss_before
    assert platt.slope == pytest.approx(1 / 2.5, rel=0.15)

    drifting = np.where(np.arange(3000) < 1500, Platt(1.0, 1.5)(truth), truth)
    assert calibrate(rows(label), drifting)[0] is None


def test_validation_days_with_one_class_keep_the_scores_as_they_are():
    platt, report = calibrate(rows(np.zeros(100, np.int8)), np.full(100, 0.2))
    assert platt is None and not report.kept
