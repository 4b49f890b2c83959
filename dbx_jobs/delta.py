"""Reading and replacing partitions of Delta tables: one atomic commit, and none where the content is equal."""

import json
import random
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from pyspark.sql import functions as F
from pyspark.sql.types import StructField, StructType

from dbx_jobs.contract import PARTITION_COLUMN, Days, TableInput
from dbx_jobs.errors import DataError
from dbx_jobs.fingerprint import fingerprints
from dbx_jobs.object_store import delta_options
from dbx_jobs.runtime import on_a_cluster
from dbx_jobs.storage import list_files, read_file

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, DataFrameWriter, SparkSession

COMMIT_ATTEMPTS = 20

TABLE_PROPERTIES = {
    # Without statistics: Sail reads a column that is constant in a file from them, and a double one ulp off.
    "delta.dataSkippingNumIndexedCols": "0",
    # Databricks turns them on for new tables where a workspace says so, and delta-rs then does not read the table.
    "delta.enableDeletionVectors": "false",
}
_LOST_RACE = "Failed to commit transaction|DELTA_CONCURRENT|Concurrent(Append|Write|DeleteRead|DeleteDelete)"
# An object store does not repeat a conditional PUT whose connection broke: it cannot know whether it was done.
_LOST_CONNECTION = "peer closed connection|[Cc]onnection (was )?(closed|reset)|error sending request"
_DO_AGAIN = re.compile(f"{_LOST_RACE}|{_LOST_CONNECTION}")


@dataclass(frozen=True)
class Written:
    """The state of one partition (None: the whole of an unpartitioned table) after a write."""

    partition: str | None
    rows: int
    fingerprint: str
    changed: bool


@dataclass(frozen=True)
class WriteResult:
    """The table's version that holds the content, and the partitions that were asked for."""

    version: int
    partitions: list[Written]


def table_version(spark: "SparkSession", uri: str) -> int | None:
    """The latest version of the Delta table at `uri`, None where there is no table."""
    # DESCRIBE HISTORY is not there on Sail; the log is, on every engine.
    log = f"{uri}/_delta_log"
    # Few commits follow a checkpoint: to look for them is quicker than to list all that ever were.
    hint = None if on_a_cluster() else read_file(log, "_last_checkpoint")
    checkpoint = json.loads(hint)["version"] if hint else None
    first = "" if checkpoint is None else f"{checkpoint:020d}"
    commits = [re.fullmatch(r"(\d{20})\.json", path) for path, _ in list_files(spark, log, first)]
    return max((int(commit[1]) for commit in commits if commit), default=checkpoint)


def pinned(spark: "SparkSession", name: str, source: TableInput) -> TableInput:
    """The source with a version, so that all that is read of it is the same; raises DataError."""
    latest = table_version(spark, source.uri)
    if latest is None:
        raise DataError(f"source {name}: there is no Delta table at {source.uri}; ingest it first")
    if source.version is not None and source.version > latest:
        raise DataError(f"source {name}: version {source.version} is asked for, but {source.uri} is at {latest}")
    return source if source.version is not None else replace(source, version=latest)


def read_table(spark: "SparkSession", uri: str, version: int | None = None) -> "DataFrame":
    """The table at `version` (None: the latest)."""
    reader = spark.read.format("delta")
    return (reader if version is None else reader.option("versionAsOf", version)).load(uri)


def read_days(spark: "SparkSession", uri: str, days: Days, version: int | None = None) -> "DataFrame":
    """The closed range of `days` of a daily table at `version` (None: the latest)."""
    first, last = (F.lit(day).cast("date") for day in (days.start, days.end))
    return read_table(spark, uri, version).where(F.col(PARTITION_COLUMN).between(first, last))


def read_partitions(
    spark: "SparkSession", uri: str, partitions: Sequence[str | None], version: int | None = None
) -> "DataFrame":
    """These partitions of the table at `version`; the whole of an unpartitioned table where they are [None]."""
    frame = read_table(spark, uri, version)
    return frame if None in partitions else frame.where(_is_one_of(partitions))


def write_partitions(
    spark: "SparkSession", frame: "DataFrame", uri: str, partitions: Sequence[str | None], daily: bool = True
) -> WriteResult:
    """Make `partitions` (days; [None] is the whole of a table that is not `daily`) hold exactly the rows of `frame`.

    Partitions that hold the content already are not written; the others are replaced in one commit. The table is
    created where there is none. A daily one gains the columns that are new in `frame`, another one takes its schema.
    `frame` is computed twice: hand over one that is cheap to read. Raises DataError where a row lies outside
    `partitions`, where a daily table's columns are of other types or missing in `frame`, or where another run wrote the
    same partitions at the same time.
    """
    create_table(spark, frame.schema, uri, daily)
    frame, schema = _fitted(spark, frame, uri) if daily else (frame, frame.schema)
    column = PARTITION_COLUMN if daily else None
    before = table_version(spark, uri)
    now = read_partitions(spark, uri, partitions)
    wanted, held = fingerprints([(frame, schema), (now, schema if daily else now.schema)], column, partitions)
    if outside := set(wanted) - set(partitions):
        # Sail would write them without a word: its replaceWhere does not check the rows.
        raise DataError(f"{uri}: rows of {sorted(map(str, outside))} lie outside the partitions to replace")
    changed = [partition for partition in partitions if wanted[partition] != held[partition]]
    if changed:
        _commit(frame, uri, changed)
    version = table_version(spark, uri)
    if version is None or before is None:
        raise DataError(f"{uri}: the table was removed while it was written; run again")
    if version != before + bool(changed):
        # Others wrote meanwhile.
        after = read_partitions(spark, uri, partitions, version)
        if [wanted] != fingerprints([(after, schema if daily else after.schema)], column, partitions):
            raise DataError(f"{uri}: another run wrote the same partitions at the same time; run again")
    return WriteResult(version, [Written(p, *wanted[p], p in changed) for p in partitions])


def create_table(spark: "SparkSession", schema: StructType, uri: str, daily: bool = True) -> None:
    """Create an empty table, its columns nullable, unless there is one; any number of runs may do so at once."""
    if table_version(spark, uri) is None:
        nullable = StructType([StructField(f.name, f.dataType, True, f.metadata) for f in schema.fields])
        writer = spark.createDataFrame([], nullable).write.format("delta").options(**TABLE_PROPERTIES)
        writer = writer.mode("ignore")
        _save(writer.partitionBy(PARTITION_COLUMN) if daily else writer, uri)


def _fitted(spark: "SparkSession", frame: "DataFrame", uri: str) -> "tuple[DataFrame, StructType]":
    """`frame` with the table's order of columns, once the table has all of them: Sail drops the others silently.

    With its schema, which is the table's by then.
    """
    new = {field.name: field for field in frame.schema.fields}
    old = {field.name: field.dataType.simpleString() for field in read_table(spark, uri).schema.fields}
    differ = [name for name in old if name not in new or old[name] != new[name].dataType.simpleString()]
    if differ:
        now = {name: new[name].dataType.simpleString() if name in new else "no such column" for name in differ}
        raise DataError(
            f"{uri}: column {differ[0]} is {old[differ[0]]} in the table and {now[differ[0]]} in what is written"
            f" (differing: {', '.join(differ)}); remove the table and write all its days again"
        )
    if added := [field for name, field in new.items() if name not in old]:
        _add_columns(spark, uri, StructType(added))
    names = [*old, *(field.name for field in added)]
    return frame.select(*names), StructType([new[name] for name in names])


def _add_columns(spark: "SparkSession", uri: str, added: StructType) -> None:
    """Add nullable columns; other partitions hold null in them."""
    if on_a_cluster():
        names = ", ".join(f"`{field.name}` {field.dataType.simpleString()}" for field in added)
        spark.sql(f"ALTER TABLE delta.`{uri}` ADD COLUMNS ({names})")
        return
    # Sail has no ALTER TABLE, and its mergeSchema drops new columns.
    from deltalake import DeltaTable, Schema

    fields = Schema.from_json(StructType([StructField(f.name, f.dataType, True) for f in added]).json()).fields
    DeltaTable(uri, storage_options=delta_options()).alter.add_columns(fields)


def _commit(frame: "DataFrame", uri: str, partitions: Sequence[str | None]) -> None:
    """Replace `partitions` in one commit."""
    if None in partitions:
        writer = frame.write.format("delta").mode("overwrite").option("overwriteSchema", "true")
    else:
        rows = frame.where(_is_one_of(partitions)).repartition(PARTITION_COLUMN)
        writer = rows.write.format("delta").mode("overwrite").option("replaceWhere", _is_one_of(partitions))
    _save(writer, uri)


def _save(writer: "DataFrameWriter", uri: str) -> None:
    """Commit; try again what lost a race against another run's or lost its connection. Either may be done twice."""
    from pyspark.errors import PySparkException

    for attempt in range(1, COMMIT_ATTEMPTS + 1):
        try:
            writer.save(uri)
            return
        except PySparkException as error:
            if attempt == COMMIT_ATTEMPTS or not _DO_AGAIN.search(str(error)):
                raise
            time.sleep(random.uniform(0, 0.2 * attempt))


def _is_one_of(days: Sequence[str | None]) -> str:
    dates = ", ".join(f"DATE'{day}'" for day in days)
    return f"{PARTITION_COLUMN} IN ({dates})" if days else "false"
