"""Real days, broken as upstream systems break them, fail a check or are refused; real days as they are do not."""

import shutil
from collections.abc import Iterator
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from pyspark.sql import DataFrame, SparkSession

import ml_platform.defs
from dbx_jobs.contract import PARTITION_COLUMN, Column, Expectation, IngestRequest, TableReport
from dbx_jobs.expectations import Suite
from dbx_jobs.jobs.ingest import ingest
from dbx_jobs.products.flight_delays import COLUMNS
from dbx_jobs.repeats import hashed, repeats
from ml_platform.components.declared import declared_product
from ml_platform.components.expectations import load_expectations
from ml_platform.core.product import SourceSpec
from ml_platform_tests.jobs import landed, nyc

PRODUCT = declared_product("flight_delays")
DAILY = ("flights", "weather")
FIRST_WEEK = [str(day) for day in nyc.days("2013-04-01", "2013-04-07")]
SECOND_WEEK = [str(day) for day in nyc.days("2013-04-08", "2013-04-14")]
CALM_WITHOUT_GUSTS = {"weather.wind_gust"}
"""Fifty days of the year have no gust at all: its absence says nothing about one day."""


def checks_of(table: str) -> list[Expectation]:
    folder = Path(next(iter(ml_platform.defs.__path__)), "flight_delays")
    tables = {f"lake/{name}" for name in PRODUCT.sources} | {"features/flight_delays"}
    return list(load_expectations(folder / "expectations.yaml", tables)[table])


def source(name: str) -> SourceSpec:
    return PRODUCT.sources[name]


def request(lake: landed.Lake, name: str, first: str, last: str) -> IngestRequest:
    """The ingest as the product declares it."""
    columns = [Column(c, s.type, s.nullable) for c, s in source(name).columns.items()]
    plain = lake.request(name, first, last, checks_of(f"lake/{name}"))
    return replace(plain, columns=columns, key=source(name).key, new_within_days=28)


def real(name: str, day: str) -> pd.DataFrame:
    """A real day with the columns of its file."""
    return nyc.some_days(name, [date.fromisoformat(day)])[list(source(name).columns)]


def land(lake: landed.Lake, name: str, day: str, rows: pd.DataFrame) -> None:
    lake.land(name, day, rows.to_csv(index=False))


def dated(rows: pd.DataFrame, day: str) -> pd.DataFrame:
    at = date.fromisoformat(day)
    return rows.assign(year=at.year, month=at.month, dayofmonth=at.day)


def failed(report: TableReport) -> dict[str, list[str]]:
    """The failed ERROR checks of each day."""
    found: dict[str, list[str]] = {partition.partition or "": [] for partition in report.partitions}
    for check in report.checks:
        if not check.passed and check.severity == "ERROR":
            found[check.partition or ""].append(check.name)
    return found


@pytest.fixture(scope="module")
def ingested(sail: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A real week of flights and weather, ingested without a failed check."""
    lake = landed.Lake(tmp_path_factory.mktemp("week"))
    for name in DAILY:
        for day in FIRST_WEEK:
            land(lake, name, day, real(name, day))
        assert failed(again(sail, lake, name, FIRST_WEEK)) == {day: [] for day in FIRST_WEEK}
    return lake.root


@pytest.fixture
def lake(ingested: Path, tmp_path: Path) -> landed.Lake:
    """A copy of that week for each test."""
    return landed.Lake(shutil.copytree(ingested, tmp_path / "week"))


def again(sail: SparkSession, lake: landed.Lake, name: str, days: list[str]) -> TableReport:
    return ingest(sail, request(lake, name, days[0], days[-1]))


@pytest.mark.parametrize("name", DAILY)
def test_no_real_day_of_the_year_fails_a_check(sail: SparkSession, tmp_path: Path, name: str):
    folder = nyc.write({name: nyc.table(name).to_pandas(types_mapper={}.get)}, tmp_path)
    table = sail.read.parquet((folder / f"{name}.parquet").as_uri())
    days = [str(day) for day in nyc.days("2013-01-01", "2013-12-31")]
    reports = Suite(checks_of(f"lake/{name}")).evaluate(table, source(name).key, days)
    errors = [(r.partition, r.name, r.observed) for r in reports if not r.passed and r.severity == "ERROR"]
    assert errors == [] and len(reports) >= len(days)
    rows = hashed(table, request(landed.Lake(tmp_path), name, days[0], days[-1]))
    assert repeats(rows, days, 28).collect() == []


def test_temperatures_in_kelvin_fail_from_their_first_day_on(sail: SparkSession, lake: landed.Lake):
    kelvin = FIRST_WEEK[3:]
    for day in kelvin:
        rows = real("weather", day)
        land(lake, "weather", day, rows.assign(temp=((rows["temp"] - 32) / 1.8 + 273.15).round(2)))
    found = failed(again(sail, lake, "weather", FIRST_WEEK))
    assert [day for day, names in found.items() if names] == kelvin
    assert all(names == ["temperature_is_fahrenheit"] for names in found.values() if names)
    for day in kelvin:
        land(lake, "weather", day, real("weather", day))
    assert not any(failed(again(sail, lake, "weather", FIRST_WEEK)).values())


@pytest.mark.parametrize("name", DAILY)
def test_a_source_that_stops_is_refused_with_the_place_where_its_file_is_missing(
    sail: SparkSession, lake: landed.Lake, name: str
):
    (refused,) = again(sail, lake, name, [*FIRST_WEEK, SECOND_WEEK[0]]).refused
    assert refused.partition == SECOND_WEEK[0]
    assert f"no file landed: there is no *.csv or *.csv.gz under {lake.uri('landing')}/{name}" in refused.reason


def test_a_source_that_sends_nothing_but_headers_fails_or_warns(sail: SparkSession, lake: landed.Lake):
    day = SECOND_WEEK[0]
    for name in DAILY:
        land(lake, name, day, real(name, day).head(0))
    assert "enough_rows" in failed(again(sail, lake, "flights", [day]))[day]
    # The real weather of 2013 ends on December 30th, so that a day without any is a warning.
    bad = [(check.name, check.severity) for check in again(sail, lake, "weather", [day]).checks if not check.passed]
    assert bad == [("all_stations_report", "WARN")]


def read_by_features(name: str) -> Iterator[str]:
    """The file's columns that some feature is made of."""
    lineage = {place for output in COLUMNS.values() for place in output.sources} - CALM_WITHOUT_GUSTS
    return (column for column in source(name).columns if f"{name}.{column}" in lineage)


@pytest.mark.parametrize("name", DAILY)
def test_a_column_of_nulls_is_found_for_every_column_that_features_read(sail: SparkSession, tmp_path: Path, name: str):
    lake, emptied = landed.Lake(tmp_path), list(read_by_features(name))
    days = [str(date(2013, 4, 1) + timedelta(days=n)) for n in range(len(emptied))]
    for day, column in zip(days, emptied, strict=True):
        land(lake, name, day, real(name, day).assign(**{column: None}))
    report = again(sail, lake, name, days)
    found = failed(report)
    for partition, column in zip(report.partitions, emptied, strict=True):
        if source(name).columns[column].nullable:
            names = [c.name for c in checks_of(f"lake/{name}") if c.kwargs.get("column") == column]
            assert set(found[partition.partition or ""]) & set(names), column
        else:  # all its rows are in the quarantine
            assert (partition.rows, partition.quarantined > 40) == (0, True), column


def test_a_column_of_nulls_in_the_register_of_planes_fails(sail: SparkSession, tmp_path: Path):
    lake = landed.Lake(tmp_path)
    columns = [Column(c, s.type, s.nullable) for c, s in source("planes").columns.items()]
    planes = replace(lake.snapshot(columns, ["tailnum"]), expectations=checks_of("lake/planes"))
    for column, name in (("year", "year_of_manufacture_is_given"), ("seats", "seats_are_given")):
        lake.land("planes", "", nyc.some_days("planes", []).assign(**{column: None}).to_csv(index=False))
        assert failed(ingest(sail, planes)) == {"": [name]}
    lake.land("planes", "", nyc.some_days("planes", []).to_csv(index=False))
    assert failed(ingest(sail, planes)) == {"": []}


@pytest.mark.parametrize("name", DAILY)
def test_a_week_with_every_row_twice_is_loaded_once_and_counted(sail: SparkSession, lake: landed.Lake, name: str):
    for day in FIRST_WEEK:
        land(lake, name, day, pd.concat([real(name, day)] * 2))
    report = again(sail, lake, name, FIRST_WEEK)
    for partition in report.partitions:
        assert (partition.duplicates, partition.changed) == (partition.rows, False)


@pytest.mark.parametrize("name", DAILY)
def test_last_weeks_files_under_this_weeks_days_are_quarantined(sail: SparkSession, lake: landed.Lake, name: str):
    for before, day in zip(FIRST_WEEK, SECOND_WEEK, strict=True):
        land(lake, name, day, real(name, before))
    report = again(sail, lake, name, SECOND_WEEK)
    assert all(partition.rows == 0 and partition.quarantined > 40 for partition in report.partitions)
    if name == "flights":
        assert all("enough_rows" in names for names in failed(report).values())


@pytest.mark.parametrize("name", DAILY)
def test_last_weeks_rows_with_this_weeks_dates_fail_and_name_the_day_they_repeat(
    sail: SparkSession, lake: landed.Lake, name: str
):
    for before, day in zip(FIRST_WEEK, SECOND_WEEK, strict=True):
        rows = dated(real(name, before), day)
        land(lake, name, day, rows.head(len(rows) * 4 // 5))
    report = again(sail, lake, name, SECOND_WEEK)
    assert failed(report) == {day: ["rows_are_new"] for day in SECOND_WEEK}
    observed = {check.partition: check.observed for check in report.checks if check.name == "rows_are_new"}
    assert all(
        f"are those of {before} under another date" in observed[day]
        for before, day in zip(FIRST_WEEK, SECOND_WEEK, strict=True)
    )
    for day in SECOND_WEEK:
        land(lake, name, day, real(name, day))
    assert not any(failed(again(sail, lake, name, SECOND_WEEK)).values())


def test_a_source_that_may_repeat_itself_is_not_asked(sail: SparkSession, lake: landed.Lake):
    land(lake, "flights", SECOND_WEEK[0], dated(real("flights", FIRST_WEEK[0]), SECOND_WEEK[0]))
    report = ingest(sail, replace(request(lake, "flights", *SECOND_WEEK[:1] * 2), new_within_days=0))
    assert failed(report) == {SECOND_WEEK[0]: []}
    assert "rows_are_new" not in {check.name for check in report.checks}


def test_repeats_are_equal_on_both_engines(sail: SparkSession, jvm: SparkSession, tmp_path: Path):
    days = nyc.days("2013-04-01", "2013-04-08")
    flights = nyc.some_days("flights", days[:7])
    copy = flights[flights["day"] == days[0]].assign(day=days[7], dayofmonth=8)
    folder = nyc.write({"flights": pd.concat([flights, copy])}, tmp_path)

    def found(spark: SparkSession) -> list[tuple[Any, ...]]:
        table: DataFrame = spark.read.parquet((folder / "flights.parquet").as_uri())
        rows = hashed(table, request(landed.Lake(tmp_path), "flights", "2013-04-01", "2013-04-08"))
        return [tuple(row) for row in repeats(rows, [str(day) for day in days], 7).orderBy(PARTITION_COLUMN).collect()]

    [(day, before, shared, total)] = found(sail)
    assert (day, before) == (days[7], days[0]) and shared == total == len(copy)
    assert found(jvm) == found(sail)
