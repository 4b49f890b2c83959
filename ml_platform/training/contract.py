"""What the training programs are asked and what they report: plain dataclasses, JSON through Dagster Pipes."""

from dataclasses import dataclass, field
from typing import Any, Literal

from dbx_jobs.contract import Days, Roles
from ml_platform.core.gate import Direction, Evidence, Interval

Search = Literal["process", "sweep"]
"""Where parameters are searched: in the training's own process, or by a sweep job where there is such a thing."""

SERVING_PATH = "model/data/serving"
"""The serving directory among a version's artifacts, as `mlflow.pyfunc.save_model` lays it out."""

REPORT_PATH = "report/report.json"
"""The report of its training among a version's artifacts."""


@dataclass(frozen=True)
class FeatureTable:
    """A feature table (Delta, partitioned by `day`) at a pinned version."""

    uri: str
    version: int
    roles: Roles


@dataclass(frozen=True)
class Metric:
    """The metric that decides, one of `ml_platform.training.metrics.METRICS`, and which way is better."""

    name: str
    direction: Direction


@dataclass(frozen=True)
class Dimension:
    """One hyperparameter: a range (closed at both ends) or a list of choices."""

    low: float | None = None
    high: float | None = None
    integer: bool = False
    log: bool = False
    choices: list[Any] | None = None


@dataclass(frozen=True)
class Tracking:
    """Where the run and the version are registered.

    `artifact_root` is where an experiment that does not exist yet is to keep its artifacts (None: the server decides).
    """

    uri: str
    experiment: str
    model: str
    artifact_root: str | None = None


@dataclass(frozen=True)
class Trial:
    """One setting that a search tried: its metric on the validation days, None where it was stopped or failed."""

    number: int
    parameters: dict[str, Any]
    value: float | None = None
    state: str = "FINISHED"
    """FINISHED, or KILLED where it was stopped early, or FAILED: MLflow's words."""
    run_id: str = ""
    """Its MLflow run, where it has one."""


@dataclass(frozen=True)
class TrainingRequest:
    """Train one model version.

    The window is split by time: train, then `validation_days` (tuning, calibration), then `holdout_days` (evaluation
    only). Equal requests, tracking aside, give the same model.
    """

    product: str
    features: FeatureTable
    window: Days
    validation_days: int
    holdout_days: int
    metric: Metric
    tracking: Tracking
    estimator: str = "lightgbm.LGBMClassifier"
    parameters: dict[str, Any] = field(default_factory=dict)
    search_space: dict[str, Dimension] = field(default_factory=dict)
    trials: int = 10
    search: Search = "process"
    swept: list[Trial] = field(default_factory=list)
    """What a search elsewhere has tried: the best is taken, and nothing is searched here."""
    seed: int = 0
    threads: int = 2
    slices: list[str] = field(default_factory=list)
    """Columns of the table, or `month` (of the partition day)."""
    code_revision: str = "unknown"


@dataclass(frozen=True)
class Part:
    """One part of the split: its days and labelled rows."""

    days: Days
    rows: int
    positives: int


@dataclass(frozen=True)
class SliceMetric:
    """The declared metric on one slice (`carrier=UA`) of the holdout."""

    name: str
    rows: int
    positives: int
    metric: Interval


@dataclass(frozen=True)
class Calibration:
    """Whether Platt scaling was kept, judged by log loss on validation days that it was not fitted on.

    The log losses are None where a half of the validation days had one class only.
    """

    kept: bool
    slope: float
    intercept: float
    log_loss_before: float | None = None
    log_loss_after: float | None = None


@dataclass(frozen=True)
class TrainingReport:
    """One registered version; `reused` says that an earlier run with this fingerprint had registered it."""

    model: str
    version: str
    run_id: str
    experiment_id: str
    fingerprint: str
    reused: bool
    estimator: str
    parameters: dict[str, Any]
    parts: dict[str, Part]
    """train, validation and holdout."""
    metrics: dict[str, Interval]
    """On the holdout, with 95 % intervals over its days."""
    slices: list[SliceMetric]
    calibration: Calibration
    parity: float
    """Largest absolute difference between the ONNX model's and the estimator's probabilities."""
    features: list[str]
    plots: dict[str, str]
    """PNG by name, base64."""
    card: str
    """The model card, Markdown."""
    trials: list[Trial] = field(default_factory=list)
    """What the search has tried, in its order."""


@dataclass(frozen=True)
class CompareRequest:
    """Compare a challenger with the champion (None: there is none yet) on a window that neither was fitted on.

    The rows come from the feature table, at the version and in the holdout that the challenger's tags name.
    """

    roles: Roles
    metric: Metric
    tracking: Tracking
    challenger_version: str
    champion_version: str | None = None
    slices: list[str] = field(default_factory=list)
    min_slice_rows: int = 500
    seed: int = 0
    threads: int = 2


@dataclass(frozen=True)
class CompareReport:
    """The evidence for the gate, and a picture of the two models' slices (PNG by name, base64)."""

    evidence: Evidence
    plots: dict[str, str]
