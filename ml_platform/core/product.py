"""The typed specification of a model product: what a team declares, and nothing that can be derived from it."""

from datetime import date
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from ml_platform.core.cron import Cron
from ml_platform.core.product_endpoint import EndpointSpec
from ml_platform.core.product_monitors import MonitorsSpec
from ml_platform.core.spec import MetricName, Name, Spec

ColumnName = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]
ImportPath = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)+$")]


class ColumnSpec(Spec):
    """A column of a landed file."""

    type: Literal["string", "int", "bigint", "double", "boolean", "date", "timestamp"]
    nullable: bool = True
    description: str = ""


class EventTimeSpec(Spec):
    """How the UTC event time of a row is derived from its local wall-clock columns."""

    column: ColumnName = Field(description="Name of the derived UTC column.")
    date: list[ColumnName] = Field(
        min_length=1, max_length=3, description="One date column, or the columns with year, month and day of month."
    )
    time: ColumnName = Field(description="Whole-number column with the local time of day.")
    time_format: Literal["hhmm", "hour"] = "hour"
    timezone: str = Field(description="IANA name of the zone that the columns are in.")


class SourceSpec(Spec):
    """One source of raw data: the files that land and the table they become."""

    description: str
    format: Literal["csv"] = "csv"
    partitioning: Literal["daily", "snapshot"]
    columns: dict[ColumnName, ColumnSpec] = Field(min_length=1)
    key: list[ColumnName] = Field(min_length=1, description="Columns that identify a row.")
    event_time: EventTimeSpec | None = None
    late_days: int = Field(default=0, ge=0, le=60, description="For how many days after its day a row may still come.")
    new_within_days: int = Field(
        default=0, ge=0, le=60, description="A day that repeats one of so many days before it, but for the date, fails."
    )

    @model_validator(mode="after")
    def _columns_exist(self) -> "SourceSpec":
        derived = {self.event_time.column} if self.event_time else set()
        used = set(self.key) - derived
        if self.event_time:
            used |= {*self.event_time.date, self.event_time.time}
        if missing := sorted(used - set(self.columns)):
            raise ValueError(f"{missing} are used but not declared in 'columns', which has {sorted(self.columns)}")
        if self.partitioning == "daily" and self.event_time is None:
            raise ValueError("a daily source needs 'event_time'")
        return self


class OnlineSpec(Spec):
    """Features that the endpoint finds by itself: a caller sends what it knows, the rest is looked up."""

    description: str = ""
    asked_of: Name = Field(description="The daily source of which a request is a row, before its outcome is known.")
    request: list[ColumnName] = Field(min_length=1, description="Its columns that a caller knows, event time included.")
    ttl_minutes: float = Field(gt=0, description="A value that is older counts as missing.")
    ttl_minutes_of: dict[ColumnName, float] = Field(default_factory=dict, description="The same, by feature.")


class FeaturesSpec(Spec):
    """The feature table: who computes it and what its columns mean."""

    description: str = ""
    transform: str = Field(
        pattern=r"^([A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)+|[A-Za-z0-9_./-]+\.sql)$",
        description="A Python module with a function transform(sources), or a Spark SQL file beside this one.",
    )
    primary_key: list[ColumnName] = Field(min_length=1)
    event_time: ColumnName
    prediction_time: ColumnName
    look_back_days: int = Field(ge=0, le=400, description="Days of the sources that a day's features may read.")
    online: OnlineSpec | None = Field(default=None, description="Absent: a caller sends every input itself.")


class Dimension(Spec):
    """One hyperparameter to search: a range or a list of choices."""

    low: float | None = None
    high: float | None = None
    integer: bool = False
    log: bool = False
    choices: list[Any] | None = None

    @model_validator(mode="after")
    def _range_or_choices(self) -> "Dimension":
        has_range = self.low is not None and self.high is not None
        if has_range == (self.choices is not None):
            raise ValueError("give either 'low' and 'high', or 'choices'")
        if has_range and self.low >= self.high:  # type: ignore[operator]
            raise ValueError(f"'low' ({self.low}) must be below 'high' ({self.high})")
        return self


class SplitSpec(Spec):
    """Time split of the training window: train, then validation, then the holdout that the gate compares on."""

    validation_days: int = Field(ge=1, le=365)
    holdout_days: int = Field(ge=1, le=365)


class MetricSpec(Spec):
    """The metric that decides, and which way is better."""

    name: MetricName
    direction: Literal["maximize", "minimize"]

    @model_validator(mode="after")
    def _direction_fits(self) -> "MetricSpec":
        right = "minimize" if self.name in ("log_loss", "brier") else "maximize"
        if self.direction != right:
            raise ValueError(f"'{self.name}' is better when {right}d; direction says '{self.direction}'")
        return self


class GateSpec(Spec):
    """When a candidate may become the champion. Whatever cannot be computed refuses."""

    margin: float = Field(ge=0, description="How much worse than the champion the metric's interval may reach.")
    floors: dict[MetricName, float] = Field(default_factory=dict, description="Lowest value that a metric may have.")
    ceilings: dict[MetricName, float] = Field(default_factory=dict, description="Highest value that it may have.")
    min_rows: int = Field(ge=1)
    min_positives: int = Field(ge=1)
    slice_margin: float = Field(ge=0, description="How much worse a slice may get.")
    min_slice_rows: int = Field(ge=1)
    max_gain: float = Field(gt=0, description="A larger gain over the champion asks for a person: it may be a leak.")
    suspicious_above: float | None = Field(
        default=None,
        description="The metric being better than this asks for a person, champion or not: it may be a leak.",
    )


class ModelSpec(Spec):
    """What is learned, how it is searched and when it is good enough."""

    description: str = ""
    label: ColumnName
    estimator: ImportPath = "lightgbm.LGBMClassifier"
    parameters: dict[str, Any] = Field(default_factory=dict, description="Fixed parameters of the estimator.")
    search_space: dict[str, Dimension] = Field(default_factory=dict)
    trials: int = Field(default=10, ge=0, le=1000)
    search: Literal["process", "sweep"] = Field(
        default="process",
        description="sweep: as a sweep job where models are trained in Azure ML, several at once; else one by one.",
    )
    seed: int = 0
    window_days: int | None = Field(
        default=None, ge=14, description="Length of the training window; absent: all history."
    )
    split: SplitSpec
    metric: MetricSpec
    slices: list[ColumnName] = Field(default_factory=list, description="Columns whose values are judged one by one.")
    gate: GateSpec


class RetrainingSpec(Spec):
    """When decay or drift may start a new training, and what counts as broken data, which never does."""

    search: bool = Field(
        default=False, description="Search the parameters anew in a retraining; else those of the champion are kept."
    )
    cooldown_days: int = Field(default=28, ge=1, description="Days between two trainings.")
    min_matured_labels: int = Field(default=2000, ge=1, description="Fewer final labels in the window hold a training.")
    budget_per_quarter: int = Field(default=3, ge=0, description="Trainings in a quarter of the calendar.")
    window_days: int = Field(default=14, ge=7, description="The latest final days that are held against those before.")
    review_days: int = Field(default=7, ge=1, description="Days between two looks at which a signal may retrain.")
    false_alarms_per_month: float = Field(
        default=0.2, gt=0, le=1, description="How often chance alone may ask for a training, in the mean."
    )
    metrics: list[MetricName] = Field(
        default=["roc_auc", "log_loss"], min_length=1, description="What decay is measured by."
    )
    min_decay: float = Field(default=0.01, ge=0, description="A smaller loss in a metric's daily mean is no decay.")
    prediction_psi: float = Field(
        default=0.1, gt=0, description="PSI above its noise from which the prediction drifts."
    )
    feature_psi: float = Field(default=0.25, gt=0, description="PSI above its noise from which a feature drifts.")
    drifting_importance: float = Field(
        default=0.1, gt=0, le=1, description="Share of all importance that must drift together with the prediction."
    )
    fault_days: int = Field(default=3, ge=1, description="Days on which a column must be broken to be sure of it.")
    max_faulty_share: float = Field(
        default=0.2, gt=0, le=1, description="Quarantined or duplicated share of a day's rows that is a fault."
    )

    @model_validator(mode="after")
    def _distinct(self) -> "RetrainingSpec":
        if len(set(self.metrics)) < len(self.metrics):
            raise ValueError(f"'metrics' names one twice: {self.metrics}")
        return self


class AutomationSpec(Spec):
    """How often the platform looks by itself, and what it makes up for on schedule. Times are of the product's zone."""

    landing_seconds: int = Field(default=15, ge=5, description="Seconds between two looks at the landing folders.")
    log_seconds: int = Field(default=60, ge=5, description="Seconds between two looks at the log of the endpoint.")
    fill: Cron = Field(default="0 2 * * *", description="Cron: fill partitions that are missing, stale or failed.")
    restate: Cron = Field(default="0 3 * * 0", description="Cron: read the last days' files again.")
    restate_days: int = Field(default=7, ge=1, le=366, description="How many days a restatement goes back.")
    most_days: int = Field(default=92, ge=1, le=1000, description="Most days that one scheduled run computes.")


class ProductSpec(Spec):
    """A model product, declared once."""

    name: Name
    description: str
    owners: list[str] = Field(min_length=1, description="Team names as 'team:name' or e-mail addresses.")
    timezone: str = Field(default="UTC", description="IANA name of the zone whose days partition the tables.")
    start: date = Field(description="First day that the sources have.")
    end: date | None = Field(default=None, description="Last day that the sources have; absent: it goes on.")
    sources: dict[Name, SourceSpec] = Field(min_length=1)
    features: FeaturesSpec
    model: ModelSpec
    endpoint: EndpointSpec = Field(default_factory=EndpointSpec)
    monitors: MonitorsSpec = Field(default_factory=MonitorsSpec)
    retraining: RetrainingSpec = Field(default_factory=RetrainingSpec)
    automation: AutomationSpec = Field(default_factory=AutomationSpec)

    @model_validator(mode="after")
    def _consistent(self) -> "ProductSpec":
        if not any(source.partitioning == "daily" for source in self.sources.values()):
            raise ValueError("at least one source must be 'daily'")
        if self.end is not None and self.end < self.start:
            raise ValueError(f"'end' ({self.end}) lies before 'start' ({self.start})")
        late = max(source.late_days for source in self.sources.values())
        if self.automation.restate_days <= late:
            days = self.automation.restate_days
            raise ValueError(f"automation.restate_days ({days}) does not reach rows that come {late} days late")
        return self

    @model_validator(mode="after")
    def _can_be_asked(self) -> "ProductSpec":
        online = self.features.online
        if online is None:
            return self
        source = self.daily_sources.get(online.asked_of)
        if source is None or source.event_time is None:
            daily = sorted(self.daily_sources)
            raise ValueError(f"features.online.asked_of is {online.asked_of!r}; it must be a daily source: {daily}")
        if self.features.transform.endswith(".sql"):
            raise ValueError("features.online needs a Python module whose transform() takes 'asks'; a query does not")
        event_time = source.event_time.column
        if unknown := sorted(set(online.request) - {*source.columns, event_time}):
            raise ValueError(f"features.online.request: {unknown} are no columns of {online.asked_of}")
        if event_time != self.features.event_time or event_time not in online.request:
            raise ValueError(
                f"features.online.request must have {event_time!r}, the event time of {online.asked_of}, which "
                f"features.event_time ({self.features.event_time!r}) must be"
            )
        return self

    @property
    def daily_sources(self) -> dict[str, SourceSpec]:
        """The sources with a table partitioned by day."""
        return {name: source for name, source in self.sources.items() if source.partitioning == "daily"}
