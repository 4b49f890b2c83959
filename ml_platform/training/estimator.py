"""Builds the declared estimator, searches its parameters and scores with it."""

from importlib import import_module
from typing import Any

import numpy as np
import optuna

from ml_platform.errors import SpecError
from ml_platform.training import metrics
from ml_platform.training.contract import Dimension, Metric, TrainingRequest, Trial
from ml_platform.training.program import Progress

REPEATABLE: dict[str, dict[str, Any]] = {
    "lightgbm": {"deterministic": True, "force_row_wise": True, "verbosity": -1},
}
"""Parameters, by package, without which an estimator may differ from one fit to the next on the same data."""


def build_estimator(request: TrainingRequest, parameters: dict[str, Any]) -> Any:
    """An unfitted estimator of the declared class, seeded and with a fixed number of threads.

    Raises SpecError when the class cannot be imported, gives no probabilities or does not know a parameter.
    """
    package, _, name = request.estimator.rpartition(".")
    try:
        kind = getattr(import_module(package), name)
    except (ImportError, AttributeError) as error:
        raise SpecError(f"the estimator {request.estimator!r} cannot be imported: {error}") from error
    if not hasattr(kind, "predict_proba") or not hasattr(kind, "get_params"):
        raise SpecError(f"the estimator {request.estimator!r} is no scikit-learn classifier with predict_proba")
    given = {**request.parameters, **parameters}
    known = kind().get_params()
    if unknown := sorted(set(given) - set(known)):  # LightGBM would take any name and ignore it
        raise SpecError(f"{request.estimator} has no parameter {unknown}; it has {sorted(known)}")
    fixed = {"random_state": request.seed, "n_jobs": request.threads}
    fixed = {key: value for key, value in fixed.items() if key in known}
    return kind().set_params(**(fixed | REPEATABLE.get(package.split(".")[0], {}) | given))


def probability(estimator: Any, matrix: np.ndarray) -> np.ndarray:
    """The estimator's probability of the positive class, float64 [n]."""
    return np.asarray(estimator.predict_proba(matrix), dtype=np.float64)[:, 1]


def search(
    request: TrainingRequest, train: tuple[np.ndarray, np.ndarray], check: tuple[np.ndarray, np.ndarray], log: Progress
) -> tuple[dict[str, Any], list[Trial]]:
    """The best parameters, and every trial: fitted on `train`, judged on `check` (matrix, label).

    Tree-structured Parzen estimator (Bergstra et al. 2011), seeded and sequential: equal requests search alike. What
    was searched elsewhere is not searched again.
    """
    if request.swept:
        return dict(best_of(request.swept, request.metric).parameters), request.swept
    if not request.trials or not request.search_space:
        return {}, []
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    sampler = optuna.samplers.TPESampler(seed=request.seed)
    study = optuna.create_study(direction=request.metric.direction, sampler=sampler)

    def objective(trial: optuna.Trial) -> float:
        parameters = {name: _suggest(trial, name, dimension) for name, dimension in request.search_space.items()}
        model = build_estimator(request, parameters).fit(*train)
        return metrics.value(request.metric.name, check[1], probability(model, check[0]))

    def progress(study: optuna.Study, trial: optuna.trial.FrozenTrial) -> None:
        value, best = trial.value or float("nan"), study.best_value if study.best_trials else float("nan")
        log(f"trial {trial.number + 1} of {request.trials}: {request.metric.name} {value:.4f}, best {best:.4f}")

    study.optimize(objective, n_trials=request.trials, callbacks=[progress])
    return dict(study.best_params), [Trial(trial.number, dict(trial.params), trial.value) for trial in study.trials]


def best_of(trials: list[Trial], metric: Metric) -> Trial:
    """The trial with the best metric of those that finished; raises SpecError when none did."""
    finished = [trial for trial in trials if trial.value is not None and trial.state == "FINISHED"]
    if not finished:
        raise SpecError(f"none of {len(trials)} trials finished with {metric.name}: look at the runs of the search")
    sign = 1 if metric.direction == "maximize" else -1
    return max(finished, key=lambda trial: sign * (trial.value or 0.0))


def _suggest(trial: optuna.Trial, name: str, dimension: Dimension) -> Any:
    if dimension.choices is not None:
        return trial.suggest_categorical(name, dimension.choices)
    if dimension.low is None or dimension.high is None:
        raise SpecError(f"the search space's {name!r} needs 'low' and 'high', or 'choices'")
    if dimension.integer:
        return trial.suggest_int(name, int(dimension.low), int(dimension.high), log=dimension.log)
    return trial.suggest_float(name, dimension.low, dimension.high, log=dimension.log)
