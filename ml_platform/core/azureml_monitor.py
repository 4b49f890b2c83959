"""Azure ML's own monitor: its bounds, from those of a product's monitors, and what its results say -> a verdict."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from math import isfinite, sqrt
from typing import Literal

from ml_platform.core.product import ProductSpec
from ml_platform.core.product_monitors import SignalName
from ml_platform.core.triage import ALL

Verdict = Literal["within", "beyond", "not watched", "no run yet", "run failed", "overdue", "not measured"]

Bounds = dict[str, float]
"""The highest value by metric, under the names of azure-ai-ml."""


def bounds(product: ProductSpec) -> dict[SignalName, Bounds]:
    """What each declared signal may reach at most, from the bounds of our own monitors.

    A column that is null in so many rows is missing for our triage; the share of wrong types and of values that the
    training did not have is held against its bound of faulty rows. The Brier score is a squared error's mean.
    """
    declared, drift, faulty = product.monitors.azureml, product.monitors.drift, product.retraining.max_faulty_share
    brier = product.monitors.performance.ceilings.get("brier", 0.0)
    known: dict[SignalName, Bounds] = {
        "data_drift": {"population_stability_index": drift.psi_alert},
        "prediction_drift": {"population_stability_index": drift.psi_alert},
        "data_quality": {"null_value_rate": ALL, "data_type_error_rate": faulty, "out_of_bounds_rate": faulty},
        "performance": {"root_mean_squared_error": sqrt(brier)},
    }
    return {signal: known[signal] for signal in declared.signals} if declared else {}


@dataclass(frozen=True)
class Measured:
    """One figure of a run: of a feature ("": of all together), with the bound that Azure ML held it against."""

    signal: str
    metric: str
    feature: str
    value: float
    threshold: float

    @property
    def known(self) -> bool:
        """Whether there is a number to judge."""
        return isfinite(self.value)

    @property
    def beyond(self) -> bool:
        """All bounds that we declare are upper ones."""
        return self.known and self.value > self.threshold

    def __str__(self) -> str:
        return f"{self.metric}{f' of {self.feature}' if self.feature else ''} {self.value:.3g} ({self.threshold:.3g})"


@dataclass(frozen=True)
class MonitorRun:
    """The last run that ended: its state as the service names it, when it began, its page, and what it measured."""

    name: str
    state: str
    began: datetime
    page: str
    measured: Sequence[Measured] = ()


@dataclass(frozen=True)
class Watched:
    """An endpoint's monitor: its page, whether it is there and switched on, what it watches, its last run that ended.

    `run` is of the model version that is watched.
    """

    page: str
    on: bool
    model_version: str = ""
    run: MonitorRun | None = None


@dataclass(frozen=True)
class SignalVerdict:
    """What is to be said of a signal; `figures` are its own, worst first."""

    verdict: Verdict
    sentence: str
    figures: Sequence[Measured] = ()

    @property
    def passed(self) -> bool:
        """Only what was measured, in time, and is within its bounds."""
        return self.verdict == "within"

    def __str__(self) -> str:
        return f"{self.verdict}: {self.sentence}"


def judge(signal: SignalName, watched: Watched, serving: str, overdue_hours: float, now: datetime) -> SignalVerdict:
    """The verdict on a signal at `now`, `serving` being the model version that answers callers.

    What is missing, failed, late, of another version or no number is said by its own name.
    """
    run = watched.run
    if not watched.on:
        return SignalVerdict("not watched", "the monitor is not there or switched off: materialise the endpoint")
    if watched.model_version != serving:
        about = (
            f"it watches version {watched.model_version}, and {f'version {serving}' if serving else 'nothing'} serves"
        )
        return SignalVerdict("not watched", f"{about}: materialise the endpoint")
    if run is None:
        return SignalVerdict("no run yet", "the monitor has not ended a run since it watches this model")
    when = f"the run of {run.began.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
    if run.state != "Completed":
        return SignalVerdict("run failed", f"{when} is {run.state}: see its page")
    if now - run.began > timedelta(hours=overdue_hours):
        return SignalVerdict("overdue", f"{when} is the last that ended, more than {overdue_hours:g} hours ago")
    figures = sorted(
        (each for each in run.measured if each.signal == signal),
        key=lambda each: (each.known, -(each.value - each.threshold) if each.known else 0.0, each.feature),
    )
    unknown = [each for each in figures if not each.known]
    if not figures or unknown:
        of = ", ".join(f"{each.metric} of {each.feature or 'all'}" for each in unknown[:5])
        return SignalVerdict("not measured", f"{when} has no number for {of or signal}", figures)
    beyond = [each for each in figures if each.beyond]
    if beyond:
        shown = ", ".join(map(str, beyond[:5])) + (", ..." if len(beyond) > 5 else "")
        return SignalVerdict("beyond", f"{len(beyond)} of {len(figures)} are beyond their bounds: {shown}", figures)
    return SignalVerdict("within", f"all {len(figures)} are within their bounds, first {figures[0]}", figures)
