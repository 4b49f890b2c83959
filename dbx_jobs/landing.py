"""Landed files as a Spark frame: one row a partition, with the names and bytes of its files."""

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pyspark.sql import functions as F

from dbx_jobs.contract import IngestRequest
from dbx_jobs.errors import DataError
from dbx_jobs.storage import list_files, path_of

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

MOST_BYTES = 2**30
"""One request reads at most this much, so that no Spark row, Arrow buffer or day in memory passes its bound."""

_DAILY = r"([0-9]{4}-[0-9]{2}-[0-9]{2})/([^/_.][^/]*\.csv(?:\.gz)?)"
_SNAPSHOT = r"()([^/_.][^/]*\.csv(?:\.gz)?)"


@dataclass(frozen=True)
class LandedFile:
    """One file, in its partition (a day; empty for a snapshot)."""

    partition: str
    name: str
    size: int


def landed_files(spark: "SparkSession", request: IngestRequest) -> list[LandedFile]:
    """The CSV files of the requested partitions, ordered; other files, and hidden ones, are not the ingest's."""
    pattern = re.compile(_pattern(request))
    files = []
    range_of_days = (request.days.start, request.days.end) if request.days else ("", "")
    for path, size in list_files(spark, request.landing_uri, *range_of_days):
        if (match := pattern.fullmatch(path)) and _requested(request, match[1]):
            files.append(LandedFile(match[1], match[2], size))
    if (total := sum(file.size for file in files)) > MOST_BYTES:
        raise DataError(
            f"source {request.source}: {total} bytes landed in the range, more than {MOST_BYTES}; ask for fewer days"
        )
    return sorted(files, key=lambda file: (file.partition, file.name))


def landed_frame(spark: "SparkSession", request: IngestRequest, files: list[LandedFile]) -> "DataFrame":
    """One row a partition: `partition` (empty for a snapshot), and `files` as an array of (name, content)."""
    folders = sorted({f"{request.landing_uri}/{file.partition}".rstrip("/") for file in files})
    pattern = f"{re.escape(path_of(request.landing_uri))}/{_pattern(request)}$"
    # Sail reads a file twice when it splits a large input at its border.
    read = spark.read.format("binaryFile").load(folders).dropDuplicates(["path"])
    read = read.where((F.col("length") > 0) & F.col("path").rlike(pattern))
    found = read.select(
        F.regexp_extract("path", pattern, 1).alias("partition"),
        F.regexp_extract("path", pattern, 2).alias("name"),
        "content",
    )
    # Sail does not list files of no bytes, so they come from the driver's listing on every engine.
    empty = [(file.partition, file.name, b"") for file in files if file.size == 0]
    if empty:
        found = found.unionByName(spark.createDataFrame(empty, "partition string, name string, content binary"))
    return found.groupBy("partition").agg(F.collect_list(F.struct("name", "content")).alias("files"))


def _pattern(request: IngestRequest) -> str:
    return _DAILY if request.days else _SNAPSHOT


def _requested(request: IngestRequest, partition: str) -> bool:
    return request.days is None or request.days.start <= partition <= request.days.end
