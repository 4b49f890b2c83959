"""What a Spark job is asked and what it reports: plain dataclasses, carried as JSON through Dagster Pipes."""

from dataclasses import asdict, dataclass, field, fields, is_dataclass
from datetime import timedelta
from types import UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

PARTITION_COLUMN = "day"
"""The DATE column that partitions every daily table; its value is the Dagster partition key."""

REPORT_KEY = "ml_platform/report"
"""The key of the one custom Pipes message in which a job reports."""

LANDED_NAME = r"[^/_.][^/]*\.csv(?:\.gz)?"
"""The names of landed files; others, and hidden ones, are not the ingest's."""

LANDED_DAY = r"[0-9]{4}-[0-9]{2}-[0-9]{2}"
"""The name of the folder of a day."""

LOG_SLACK = timedelta(hours=1)
"""How much later than its time a record of the inference log may be flushed."""

ColumnType = Literal["string", "int", "bigint", "double", "boolean", "date", "timestamp"]
TimeFormat = Literal["hhmm", "hour"]
Severity = Literal["ERROR", "WARN"]


@dataclass(frozen=True)
class Column:
    """One declared column of a landed file."""

    name: str
    type: ColumnType
    nullable: bool = True
    description: str = ""


@dataclass(frozen=True)
class EventTime:
    """How the UTC event time `column` of a source is derived from its wall-clock columns.

    `date` names one `date` column or three whole-number columns: year, month, day of month. `time` names a whole-number
    column that holds the time of day as `time_format` says: `hhmm` (517 is 05:17, 2400 the next midnight) or `hour`.
    A row without an event time, or with one that the spring clock change skips, is quarantined. In the hour that autumn
    repeats, two rows of one key stand in the order of their lines; a single row is taken as the later instant.
    """

    column: str
    date: list[str]
    time: str
    timezone: str
    time_format: TimeFormat = "hour"


@dataclass(frozen=True)
class Expectation:
    """One Great Expectations expectation; `name` is the name of its Dagster asset check."""

    name: str
    type: str
    kwargs: dict[str, Any] = field(default_factory=dict)
    severity: Severity = "ERROR"
    description: str = ""


@dataclass(frozen=True)
class Days:
    """A closed range of partition keys, `YYYY-MM-DD`."""

    start: str
    end: str


@dataclass(frozen=True)
class IngestRequest:
    """Land files of one source into its Delta table. `days` is None for a snapshot source.

    Files of a daily source lie in `<landing_uri>/<YYYY-MM-DD>/`, those of a snapshot in `<landing_uri>/`.
    """

    source: str
    columns: list[Column]
    key: list[str]
    landing_uri: str
    table_uri: str
    quarantine_uri: str
    days: Days | None = None
    event_time: EventTime | None = None
    partition_date: list[str] = field(default_factory=list)
    """Columns (as in `EventTime.date`) that say which day a row belongs to; rows of another day are quarantined."""
    new_within_days: int = 0
    """A day whose rows are, but for their dates, mostly those of one of so many days before fails `rows_are_new`.

    0 does not ask: for a source whose rows may be the same every day, as a list of prices is.
    """
    expectations: list[Expectation] = field(default_factory=list)


@dataclass(frozen=True)
class TableInput:
    """A Delta table to read, at a pinned version (None: latest)."""

    uri: str
    version: int | None = None
    daily: bool = True


@dataclass(frozen=True)
class Roles:
    """The columns of a feature table that are no features; every other column, `day` apart, is one."""

    primary_key: list[str]
    event_time: str
    prediction_time: str
    label: str


@dataclass(frozen=True)
class FeaturesRequest:
    """Compute the partitions `days` of a feature table from `sources`, reading `look_back_days` before them.

    `transform` is `python:<module>` (a function `transform(sources) -> DataFrame`) or `sql:<text of the query>`.
    """

    product: str
    transform: str
    sources: dict[str, TableInput]
    table_uri: str
    days: Days
    primary_key: list[str]
    event_time: str
    look_back_days: int = 0
    expectations: list[Expectation] = field(default_factory=list)


@dataclass(frozen=True)
class CheckReport:
    """One expectation evaluated on one partition (`partition` None for a snapshot)."""

    name: str
    passed: bool
    severity: Severity
    partition: str | None = None
    observed: str = ""
    failing: list[str] = field(default_factory=list)
    """Up to twenty failing values, as text."""


@dataclass(frozen=True)
class PartitionReport:
    """What one partition (None: the snapshot) holds after the job."""

    partition: str | None
    rows: int
    data_version: str
    """Fingerprint of the content: equal content, equal version, on every engine and in every order of rows."""
    changed: bool
    """False when the table held the same content already, so that nothing was written."""
    files: int = 0
    quarantined: int = 0
    duplicates: int = 0


@dataclass(frozen=True)
class RefusedPartition:
    """A partition that was left as it was, with the reason in a sentence that says what to do."""

    partition: str | None
    reason: str


@dataclass(frozen=True)
class SchemaColumn:
    """A column of the written table. `sources` lists its lineage as `<source>.<column>`."""

    name: str
    type: str
    description: str = ""
    sources: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class TableReport:
    """What a job that writes a Delta table reports."""

    table_uri: str
    table_version: int
    columns: list[SchemaColumn]
    partitions: list[PartitionReport]
    refused: list[RefusedPartition] = field(default_factory=list)
    checks: list[CheckReport] = field(default_factory=list)
    extra: dict[str, Any] = field(default_factory=dict)
    """Small results besides the table (histograms, metrics), by partition key where they belong to one."""


T = TypeVar("T")


def to_dict(value: Any) -> dict[str, Any]:
    """The JSON form of a request or report."""
    return asdict(value)


def from_dict(kind: type[T], data: dict[str, Any]) -> T:
    """The request or report of dataclass `kind` held in `data`; raises ValueError that names an unknown key."""
    hints = get_type_hints(kind)
    names = {f.name for f in fields(kind)}  # type: ignore[arg-type]
    if unknown := set(data) - names:
        raise ValueError(f"{kind.__name__} has no field {sorted(unknown)}; it has {sorted(names)}")
    return kind(**{name: _parse(hints[name], value) for name, value in data.items()})


def _parse(hint: Any, value: Any) -> Any:
    if value is None:
        return None
    origin, args = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        return _parse(next(a for a in args if a is not type(None)), value)
    if origin is list:
        return [_parse(args[0], item) for item in value]
    if origin is dict:
        return {key: _parse(args[1], item) for key, item in value.items()}
    if is_dataclass(hint) and isinstance(hint, type):
        return from_dict(hint, value)
    return value
