"""The monitors in the specification of a model product: what is watched, and within which bounds."""

from typing import Literal

from pydantic import Field, model_validator

from ml_platform.core.cron import AzureMLCron, Cron
from ml_platform.core.spec import MetricName, Spec

SignalName = Literal["data_drift", "prediction_drift", "data_quality", "performance"]


class DriftSpec(Spec):
    """Thresholds of the drift check. PSI: Siddiqi (2006); 0.25 is the usual bound for a population that shifted."""

    psi_warn: float = Field(default=0.1, gt=0)
    psi_alert: float = Field(default=0.25, gt=0)
    window_days: int = Field(default=7, ge=1, description="Days, up to the one judged, that are compared together.")
    min_rows: int = Field(default=200, ge=1, description="Fewer predictions in the window give no verdict.")


class PerformanceSpec(Spec):
    """Thresholds of the performance check, on labels that have matured."""

    maturity_days: int = Field(default=1, ge=0, description="Days after which a label that is not there will not come.")
    floors: dict[MetricName, float] = Field(default_factory=dict)
    ceilings: dict[MetricName, float] = Field(default_factory=dict)
    min_labels: int = Field(default=200, ge=1)


class AzureMLMonitorSpec(Spec):
    """Azure ML's own monitor beside ours: what it measures and when; its bounds follow from those of ours."""

    signals: list[SignalName] = Field(
        default=["data_drift", "prediction_drift", "data_quality"],
        min_length=1,
        description="performance needs a ceiling of brier: of our metrics it is the one that Azure ML knows as well.",
    )
    runs: AzureMLCron = Field(
        default="0 6 * * *", description="Cron, in UTC, without day and month: when Azure ML measures."
    )
    read: Cron = Field(default="0 9 * * *", description="Cron, in UTC: when its results are read.")
    overdue_hours: float = Field(default=26, gt=0, description="A result of a run that began longer ago is overdue.")
    machine: str = Field(default="standard_e4s_v3", description="Of the serverless Spark that measures.")


class MonitorsSpec(Spec):
    """What is watched once the model serves."""

    drift: DriftSpec = Field(default_factory=DriftSpec)
    performance: PerformanceSpec = Field(default_factory=PerformanceSpec)
    azureml: AzureMLMonitorSpec | None = Field(
        default=None, description="Azure ML's own monitor as well, where models are served by it; absent: ours alone."
    )

    @model_validator(mode="after")
    def _bounded(self) -> "MonitorsSpec":
        if self.azureml and "performance" in self.azureml.signals and "brier" not in self.performance.ceilings:
            raise ValueError(
                "azureml.signals has 'performance', whose bound follows from performance.ceilings.brier: declare that"
            )
        return self
