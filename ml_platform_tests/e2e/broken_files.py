"""Plays an upstream that breaks: real days as they are, and as systems spoil them."""

from collections.abc import Callable, Iterable
from datetime import date
from pathlib import Path
from typing import Any

import pandas as pd

from ml_platform.upstream import landed

TURNED = "2013-02-01"
"""From this day on the world is another: whoever was late is early, so that what a model learned before misleads it."""

Spoil = Callable[[Any], Any]
"""A day's rows, as they land instead."""


def good(source: str, day: str) -> Any:
    """The rows of a day of a source as they should land."""
    at, rows = date.fromisoformat(day), landed(source)
    mine: Any = rows[(rows["year"] == at.year) & (rows["month"] == at.month) & (rows["dayofmonth"] == at.day)]
    return turned(mine.copy()) if source == "flights" and day >= TURNED else mine.copy()


def turned(flights: Any) -> Any:
    """The same flights and the same delays, the largest where the smallest was: data in which nothing is broken."""
    arrived = flights["arr_delay"].dropna().sort_values(kind="stable")
    flights.loc[arrived.index, "arr_delay"] = arrived.to_numpy()[::-1]
    return flights


def land(home: Path, source: str, days: Iterable[str], spoil: Spoil = lambda rows: rows) -> None:
    """Drop the files of `days`, each there at once."""
    for day in days:
        drop(home, source, day, spoil(good(source, day)))


def drop(home: Path, source: str, day: str, rows: Any) -> None:
    """Drop one file with `rows` into the folder of a day, in the place of what lay there."""
    file = home / "lake" / "landing" / source / day / f"{source}.csv"
    file.parent.mkdir(parents=True, exist_ok=True)
    unfinished = file.with_name(f".{file.name}.part")
    rows.to_csv(unfinished, index=False)
    unfinished.replace(file)


def kelvin(weather: Any) -> Any:
    """Temperatures in another unit, which no day on earth has in Fahrenheit."""
    return weather.assign(temp=((weather["temp"] - 32) / 1.8 + 273.15).round(2))


def celsius(weather: Any) -> Any:
    """Temperatures in another unit, each of which may be a cold day's in Fahrenheit: no check of a day can tell."""
    return weather.assign(temp=((weather["temp"] - 32) / 1.8).round(2))


def emptied(column: str) -> Spoil:
    """A column of nulls."""
    return lambda rows: rows.assign(**{column: pd.NA})


def twice(rows: Any) -> Any:
    """Every row two times."""
    return pd.concat([rows, rows])


def dated(rows: Any, day: str) -> Any:
    """The rows with the date of another day."""
    at = date.fromisoformat(day)
    return rows.assign(year=at.year, month=at.month, dayofmonth=at.day)
