"""What the program that checks tables as they stand is asked and what it reports."""

from dataclasses import dataclass, field

from dbx_jobs.contract import CheckReport, Expectation, IngestRequest, PartitionReport


@dataclass(frozen=True)
class TableToCheck:
    """A table to hold against `expectations`; `name` is its asset, as `lake/flights`.

    Of a daily table the days from `first` to `last` are judged. With one of the two, the table's own end takes the
    place of the other; with neither, the days that the table holds are judged. `quarantine_uri` is the table of the
    rows that did not fit, where the program that writes the table has one, and `ingest` how a lake table's files are
    read, for the checks that ask what landed; its days do not count.
    """

    name: str
    uri: str
    key: list[str] = field(default_factory=list)
    expectations: list[Expectation] = field(default_factory=list)
    daily: bool = True
    first: str | None = None
    last: str | None = None
    quarantine_uri: str = ""
    ingest: IngestRequest | None = None


@dataclass(frozen=True)
class CheckTablesRequest:
    """Evaluate each table's expectations. Nothing is written."""

    tables: list[TableToCheck]


@dataclass(frozen=True)
class CheckedTable:
    """What was found of one table.

    `missing` are days that were asked for and of which the table has no row; `absent` says that there is no table;
    `problem` says why it could not be evaluated. In each of the three cases nothing has passed that is not in `checks`.
    """

    name: str
    version: int | None = None
    partitions: list[PartitionReport] = field(default_factory=list)
    """Those evaluated, with their rows and, where the request asks for it, what was quarantined and dropped."""
    missing: list[str] = field(default_factory=list)
    checks: list[CheckReport] = field(default_factory=list)
    absent: bool = False
    problem: str = ""
    unread: str = ""
    """Why the files that landed could not be read, so that there is no word on what came twice."""


@dataclass(frozen=True)
class CheckTablesReport:
    """One entry a table, in the order of the request."""

    tables: list[CheckedTable]
