"""The online store of a feature table: what the jobs about it are asked, and what its rows are.

A store holds one snapshot of a feature table: the values as of one instant, by key. Its rows have a name and a JSON
text. The row SNAPSHOT is a `Snapshot`; `row_name` names those of values, each a list in the order of its group's
features. The row whose key is all null has the values of keys of which nothing is known.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field

from dbx_jobs.contract import Days, EventTime, Roles, TableInput

SNAPSHOT = "snapshot"

PASSWORD_VARIABLE = "ML_PLATFORM_ONLINE_STORE_PASSWORD"
"""The environment variable with the password of a Redis store: a URI, which is shown, has none."""

COMPLETED = "online"
"""The field of a logged input that says, as JSON, how its record was completed; null where the caller sent all.

`snapshot` has the store's `as_of`, `until` and `sources`, `request` what the caller sent of the request's columns,
`given` the features that it sent itself, and `missing` those that counted as missing, with the reason.
"""


@dataclass(frozen=True)
class Group:
    """Features that are looked up by the same columns of a request."""

    key: list[str]
    features: list[str]


@dataclass(frozen=True)
class Snapshot:
    """What a store holds: values as of `as_of` (seconds since 1970), from the days up to `until` of `sources`.

    `sources` are the versions of the tables that were read. `computed` are the columns that a request has in itself, by
    name the SQL expression over its columns: one that Spark and SQLite read alike, which rules out functions other than
    `dayofweek`, `abs`, `coalesce`, `nullif`, `round`, and gives integers divided by `/` only within a CAST to int.
    """

    as_of: int
    until: str
    sources: dict[str, int]
    fingerprint: str
    """Of the rows: equal snapshots have equal values."""
    computed: dict[str, str] = field(default_factory=dict)
    groups: list[Group] = field(default_factory=list)


@dataclass(frozen=True)
class OnlineTable:
    """A feature table whose values are looked up: how they are computed, and what a request is.

    A request is a row of the source `asked_of` of which only the columns `request` are known; `event_time` says how its
    wall-clock columns follow from its event time, which is one of them.
    """

    product: str
    transform: str
    sources: dict[str, TableInput]
    asked_of: str
    request: list[str]
    event_time: EventTime
    roles: Roles
    look_back_days: int


@dataclass(frozen=True)
class OnlineRequest:
    """Replace the store's snapshot by one as of `as_of` (ISO 8601), from the days up to `until`.

    Without `as_of` it is the last instant of which all daily sources tell: the earliest of the latest event times, by
    source the column in `event_times`, and never later than now.
    """

    table: OnlineTable
    store_uri: str
    event_times: dict[str, str]
    until: str
    as_of: str | None = None


@dataclass(frozen=True)
class OnlineReport:
    """What a store holds after the job: rows by the columns of their key, and a fingerprint of all of it."""

    as_of: str
    rows: dict[str, int]
    source_versions: dict[str, int]
    fingerprint: str


@dataclass(frozen=True)
class OnlineCheckRequest:
    """Compute again, as of its snapshot, what was looked up for each prediction that was logged on `days`.

    `table_uri` gets a row for each value that differs; its report's `extra` has of each day what `CheckedDay` says.
    """

    table: OnlineTable
    inference_log: TableInput
    table_uri: str
    days: Days


def row_name(group: int, key: Sequence[object]) -> str:
    """The name of a row of values; the columns of a key are strings and whole numbers."""
    return f"{group}{json.dumps([None if value is None else str(value) for value in key], separators=(',', ':'))}"


def redis_key(product: str) -> str:
    """The hash in Redis that has a product's rows. In braces: a cluster keeps it beside those that it is made of."""
    return f"online:{{{product}}}"
