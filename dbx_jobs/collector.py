"""Finds and reads the files of Azure ML's data collector: one JSON record a line, in a folder for each hour of UTC."""

import re
from collections.abc import Iterable, Iterator
from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pyspark.sql import functions as F

from dbx_jobs.contract import LOG_SLACK as SLACK
from dbx_jobs.contract import Days
from dbx_jobs.errors import DataError
from dbx_jobs.runtime import on_a_cluster
from dbx_jobs.storage import list_files, list_folders

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame, SparkSession

INPUTS = "model_inputs"
OUTPUTS = "model_outputs"

LINE_SCHEMA = "file string, deployment string, collection string, hour timestamp, line bigint, value string"

_HOUR_FOLDER = "%Y/%m/%d/%H"
_FILE = rf"([^/]+)/({INPUTS}|{OUTPUTS})/([0-9]{{4}})/([0-9]{{2}})/([0-9]{{2}})/([0-9]{{2}})/([^/]+\.jsonl)$"


def hours_of(days: Days, timezone: str) -> list[datetime]:
    """The UTC hours whose folders may hold records of `days` in `timezone`, or the other halves of such records."""
    try:
        zone = ZoneInfo(timezone)
    except (ZoneInfoNotFoundError, ValueError) as error:
        raise DataError(f"timezone {timezone!r} is no time zone; use one like Europe/Berlin") from error
    first, after = date.fromisoformat(days.start), date.fromisoformat(days.end) + timedelta(days=1)
    start, end = (datetime.combine(day, time(), zone).astimezone(UTC) for day in (first, after))
    hour = (start - SLACK).replace(minute=0, second=0, microsecond=0)
    hours = []
    while hour < end + 2 * SLACK:
        hours.append(hour)
        hour += timedelta(hours=1)
    return hours


def files_of(spark: "SparkSession", collector_uri: str, hours: Iterable[datetime]) -> list[str]:
    """The URIs of all deployments' files in the folders of `hours`, sorted; files of no bytes may be left out."""
    root = collector_uri.rstrip("/")
    folders = {hour.strftime(_HOUR_FOLDER) for hour in hours}
    found = set()
    for path in _paths(spark, root, sorted({folder[:10] for folder in folders})):
        match = re.search(_FILE, path)
        if match and "/".join(match.group(3, 4, 5, 6)) in folders:
            found.add(f"{root}/{match[0]}")
    return sorted(found)


def _paths(spark: "SparkSession", root: str, utc_days: list[str]) -> Iterator[str]:
    """The files of all deployments and collections on these days, `yyyy/MM/dd`."""
    if on_a_cluster():
        for day in utc_days:
            yield from _matching(spark, f"{root}/*/model_*/{day}/*/*.jsonl")
        return
    places = [f"{name}/{collection}" for name in list_folders(root) for collection in (INPUTS, OUTPUTS)]
    for place in places if utc_days else []:
        for path, size in list_files(spark, f"{root}/{place}", utc_days[0], utc_days[-1]):
            if size:
                yield f"{place}/{path}"


def read_lines(spark: "SparkSession", files: list[str]) -> "DataFrame":
    """The lines of `files` but empty ones; `file` is relative to the endpoint, `hour` its folder's, `line` from 1."""
    if not files:
        return spark.createDataFrame([], LINE_SCHEMA)
    hour = F.concat(F.concat_ws("-", *[_part(group) for group in (3, 4, 5)]), F.lit(" "), _part(6), F.lit(":00:00"))
    # The path says where a line is from, as Sail has no input_file_name. Sail gives a file twice when it splits a large
    # read into groups of bytes and the file lies on the border.
    contents = spark.read.format("binaryFile").load(files).dropDuplicates(["path"])
    pieces = F.posexplode(F.split(F.col("content").cast("string"), "\n")).alias("position", "value")
    lines = contents.select("path", pieces).where(F.trim("value") != "")
    return lines.select(
        F.regexp_extract("path", _FILE, 0).alias("file"),
        _part(1).alias("deployment"),
        _part(2).alias("collection"),
        hour.cast("timestamp").alias("hour"),
        (F.col("position") + 1).cast("bigint").alias("line"),
        "value",
    )


def _part(group: int) -> "Column":
    return F.regexp_extract("path", _FILE, group)


def _matching(spark: "SparkSession", glob: str) -> list[str]:
    from pyspark.errors import AnalysisException

    try:
        return [row["path"] for row in spark.read.format("binaryFile").load(glob).select("path").collect()]
    except AnalysisException as error:
        # JVM Spark refuses a pattern without a match, Sail gives no rows.
        if error.getCondition() != "PATH_NOT_FOUND":
            raise
        return []
