"""What the endpoint looks up is what the feature table's transformation gives offline, or the check tells."""

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from deltalake import DeltaTable
from pyspark.sql import SparkSession

from dbx_jobs.contract import TableReport
from dbx_jobs.errors import DataError
from dbx_jobs.jobs.online_features import fill_store
from dbx_jobs.online_contract import OnlineRequest
from dbx_jobs.products import flight_delays
from ml_platform_tests.jobs.asked import DAILY, PRODUCT, ROLES, Asked, asked_in, table_of

DAY = "2013-04-12"
"""A stormy Friday: half of the flights late, many cancelled."""
MORNING = datetime(2013, 4, 12, 14, tzinfo=UTC)


@pytest.fixture
def world(tmp_path: Path, sail: SparkSession) -> Iterator[Asked]:
    with asked_in(tmp_path, sail, "2013-04-03", DAY) as asked:
        yield asked


def told_of(report: TableReport, day: str = DAY) -> list[dict[str, Any]]:
    """What the check tells of each feature."""
    return list(report.extra[day])


def differing(report: TableReport, day: str = DAY) -> dict[str, int]:
    return {row["feature"]: row["differing"] for row in told_of(report, day) if row["differing"]}


def test_over_a_day_every_value_that_was_looked_up_is_the_offline_one(world: Asked) -> None:
    asked = world.ask_through(DAY, timedelta(hours=3))
    report = world.check(DAY, DAY)
    told = told_of(report)
    assert {row["completed"] for row in told} == {asked}
    assert asked > 900
    assert differing(report) == {}
    # The store is filled every three hours, its values live for two.
    assert 0 < max(row["missing"] for row in told) < asked / 2
    fresh = [row for row in world.logged() if not json.loads(row["online"]).get("missing")]
    known = {name for row in fresh for name, value in row.items() if value is not None}
    assert known >= set(flight_delays.COLUMNS) - {"day", ROLES.label, ROLES.prediction_time}


@pytest.mark.loop
def test_over_a_week_of_hourly_values_every_one_is_the_offline_one(tmp_path: Path, sail: SparkSession) -> None:
    days = [f"2013-04-{day:02d}" for day in range(8, 15)]
    with asked_in(tmp_path, sail, "2013-03-30", "2013-04-15") as world:
        asked = sum(world.ask_through(day, timedelta(hours=1)) for day in days)
        report = world.check(days[0], days[-1])
    assert sum(told_of(report, day)[0]["completed"] for day in days) == asked > 6_000
    assert [differing(report, day) for day in days] == [{}] * 7
    assert not any(row["missing"] for day in days for row in told_of(report, day))


@pytest.mark.parametrize(
    ("name", "expression"),
    [
        ("carrier_overdue", "CAST(carrier_waiting + 1 AS int)"),
        ("weekday", "7 - dayofweek(day)"),
        ("flight_id", "day || '-' || carrier || '-' || flight || '-' || dest"),
    ],
)
def test_the_check_names_a_feature_whose_code_is_another_one_offline(
    world: Asked, monkeypatch: pytest.MonkeyPatch, name: str, expression: str
) -> None:
    world.fill(DAY, MORNING)
    world.ask(world.flights(MORNING + timedelta(hours=1), MORNING + timedelta(hours=2)))
    column = replace(flight_delays.COLUMNS[name], expression=expression)
    monkeypatch.setitem(flight_delays.COLUMNS, name, column)
    report = world.check(DAY, DAY)
    assert differing(report) == {name: told_of(report)[0]["completed"]}
    rows = DeltaTable((world.root / "differences").as_uri()).to_pyarrow_table().to_pylist()
    [row] = [row for row in rows if row["differing"]]
    assert (row["feature"], row["as_of"]) == (name, MORNING)
    assert row["online"] != row["offline"]


def test_a_day_without_a_completed_request_has_its_rows_too(world: Asked) -> None:
    (world.root / "collector" / PRODUCT).mkdir(parents=True)
    told = told_of(world.check(DAY, DAY))
    assert {row["feature"] for row in told} >= {"carrier_overdue", "weekday", ROLES.primary_key[0]}
    assert all((row["completed"], row["missing"], row["differing"]) == (0, 0, 0) for row in told)


def test_the_check_names_a_feature_that_is_looked_up_by_too_few_columns(
    world: Asked, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = flight_delays.COLUMNS["dest_arrival_delay_24h"]
    with monkeypatch.context() as wrong:
        wrong.setitem(flight_delays.COLUMNS, "dest_arrival_delay_24h", replace(right, by=("origin",)))
        world.fill(DAY, MORNING)
    world.ask(world.flights(MORNING + timedelta(hours=1), MORNING + timedelta(hours=2)))
    assert set(differing(world.check(DAY, DAY))) == {"dest_arrival_delay_24h"}


def test_a_correction_after_the_request_makes_no_difference(world: Asked) -> None:
    world.fill(DAY, MORNING)
    world.ask(world.flights(MORNING + timedelta(hours=1), MORNING + timedelta(hours=2)))
    flights = (world.root / "lake" / "flights").as_uri()
    DeltaTable(flights).update({"dep_delay": "dep_delay + 30"})
    assert differing(world.check(DAY, DAY)) == {}


def test_without_an_instant_the_store_tells_of_the_last_that_all_sources_know(world: Asked) -> None:
    report = world.fill(DAY)
    latest = [
        max(DeltaTable((world.root / "lake" / name).as_uri()).to_pyarrow_table()[column].to_pylist())
        for name, column in DAILY.items()
    ]
    assert datetime.fromisoformat(report.as_of) == min(latest)


def test_the_same_days_give_the_same_store(world: Asked) -> None:
    first, again = world.fill(DAY, MORNING), world.fill(DAY, MORNING)
    assert first == again
    assert first.fingerprint != world.fill(DAY, MORNING + timedelta(hours=1)).fingerprint


def test_a_feature_that_is_looked_up_by_what_no_request_has_is_refused(world: Asked) -> None:
    table = table_of(world.root)
    shorter = replace(table, request=[name for name in table.request if name != "tailnum"])
    request = OnlineRequest(shorter, (world.root / "online").as_uri(), DAILY, DAY)
    with pytest.raises(DataError, match="looked up by \\['tailnum'\\]"):
        fill_store(world.spark, request)


def test_a_transformation_that_cannot_be_asked_is_refused(world: Asked) -> None:
    table = replace(table_of(world.root), transform="sql:SELECT * FROM flights")
    with pytest.raises(DataError, match="a SQL query is none"):
        fill_store(world.spark, OnlineRequest(table, (world.root / "online").as_uri(), DAILY, DAY))
