"""The ledger of a measured table: every figure that was ever known of a day, with when it became known."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import date
from typing import TYPE_CHECKING, Any

from pyspark.sql import functions as F

from dbx_jobs.contract import PARTITION_COLUMN, Days
from dbx_jobs.delta import read_days, table_version, write_partitions

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

Figures = Mapping[str, Any]
KNOWN_AT = "known_at"
REVISION = "revision"


def record(
    spark: "SparkSession",
    uri: str,
    days: Days,
    schema: str,
    figures: Mapping[str, Figures],
    known_at: Mapping[str, int | None],
) -> dict[str, int]:
    """Add a row to each of `days` whose `figures` are not those of its newest row; earlier rows never change.

    A row has `day`, `revision` (from 1 on), `known_at` (of the data: see ground_truth; null before anything could be
    known) and the figures, whose columns `schema` declares. `known_at` is by day, in microseconds since 1970. A day of
    which nothing was ever predicted has no row. Returns the newest revision of each day, 0 where there is none.
    """
    held = _read(spark, uri, days)
    ledger = {day: revised(held.get(day, []), row, known_at.get(day)) for day, row in figures.items()}
    grown = {day: rows for day, rows in ledger.items() if len(rows) > len(held.get(day, []))}
    if grown:
        write_partitions(spark, _frame(spark, grown, schema), uri, list(grown))
    return {day: rows[-1][REVISION] if rows else 0 for day, rows in ledger.items()}


def revised(held: Sequence[Figures], figures: Figures, known_at: int | None) -> list[Figures]:
    """The rows `held` of one day, oldest first, and one more where `figures` differ from those of the newest."""
    newest = held[-1] if held else {REVISION: 0, KNOWN_AT: None}
    same = all(newest[name] == value for name, value in figures.items()) if held else not figures["rows"]
    if same:
        return list(held)
    # Predictions that went away take their dates with them, but what is known now is no older than what was.
    latest = max((at for at in (newest[KNOWN_AT], known_at) if at is not None), default=None)
    return [*held, {REVISION: newest[REVISION] + 1, KNOWN_AT: latest, **figures}]


def _read(spark: "SparkSession", uri: str, days: Days) -> dict[str, list[Figures]]:
    """The rows of each day, oldest first; none where there is no table yet."""
    if table_version(spark, uri) is None:
        return {}
    # As microseconds, since a collected timestamp comes in the time zone of the machine.
    rows = read_days(spark, uri, days).withColumn(KNOWN_AT, F.unix_micros(KNOWN_AT)).collect()
    held: dict[str, list[Figures]] = defaultdict(list)
    for row in sorted(rows, key=lambda row: row[REVISION]):
        held[str(row[PARTITION_COLUMN])].append(row.asDict())
    return held


def _frame(spark: "SparkSession", ledger: Mapping[str, Sequence[Figures]], schema: str) -> "DataFrame":
    typed = f"{PARTITION_COLUMN} date, {REVISION} int, {KNOWN_AT} bigint, {schema}"
    rows = [
        {**row, PARTITION_COLUMN: date.fromisoformat(day)} for day, of_the_day in ledger.items() for row in of_the_day
    ]
    names = [part.split()[0] for part in typed.split(", ")]
    frame = spark.createDataFrame([tuple(row[name] for name in names) for row in rows], typed)
    return frame.withColumn(KNOWN_AT, F.timestamp_micros(KNOWN_AT))
