"""The features of flight_delays: known in time, equal over any range and on both engines, right by hand."""

from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from pyspark.sql import SparkSession

from dbx_jobs.products.flight_delays import COLUMNS, PUERTO_RICO, transform
from ml_platform_tests.jobs import nyc

LOOK_BACK = timedelta(days=9)
STORMY = nyc.days("2013-07-06", "2013-07-10")
Frames = dict[str, Any]
"""pandas frames by source; pandas' own types do not tell rows from a column."""


def features(spark: SparkSession, frames: Frames, folder: Path) -> pa.Table:
    nyc.write(frames, folder)
    sources = {name: spark.read.parquet(str(folder / f"{name}.parquet")) for name in frames}
    return transform(sources).toArrow().sort_by("flight_id")


def real(days: list[date]) -> Frames:
    return {source: nyc.some_days(source, days) for source in nyc.SOURCES}


def of_days(table: pa.Table, days: list[date]) -> pa.Table:
    return table.filter(pc.field("day").isin(days))


def test_every_column_is_documented_once_with_lineage_to_real_columns(sail, tmp_path):
    table = features(sail, real(STORMY[:1]), tmp_path)
    assert table.column_names == list(COLUMNS)
    assert all(column.description and column.sources for column in COLUMNS.values())
    assert all(len(set(column.sources)) == len(column.sources) for column in COLUMNS.values())
    known = {f"{source}.{name}" for source in nyc.SOURCES for name in nyc.table(source).column_names}
    assert {source for column in COLUMNS.values() for source in column.sources} <= known


def test_every_flight_has_one_row_and_those_that_never_arrived_have_no_label(sail, tmp_path):
    frames = real(STORMY)
    table = features(sail, frames, tmp_path)
    assert table.num_rows == len(set(table["flight_id"].to_pylist())) == len(frames["flights"])
    arrived = frames["flights"]["arr_delay"].dropna()
    assert table["delayed"].null_count == len(frames["flights"]) - len(arrived) > 0
    assert sum(table["delayed"].drop_null().to_pylist()) == (arrived > 15).sum()


def test_a_range_across_a_clock_change_equals_its_days_computed_one_by_one(sail, tmp_path):
    wanted = nyc.days("2013-11-02", "2013-11-05")
    together = features(sail, real(nyc.days("2013-10-24", "2013-11-06")), tmp_path / "range")
    for day in wanted:
        alone = features(sail, real([day - LOOK_BACK + timedelta(days=n) for n in range(10)]), tmp_path / str(day))
        assert of_days(alone, [day]).num_rows > 0
        assert of_days(alone, [day]).equals(of_days(together, [day])), day


def test_sail_and_jvm_spark_give_exactly_the_same_values_around_both_clock_changes(sail, jvm, tmp_path):
    frames = real(nyc.days("2013-03-09", "2013-03-10") + nyc.days("2013-11-02", "2013-11-03"))
    ours, theirs = features(sail, frames, tmp_path / "sail"), features(jvm, frames, tmp_path / "jvm")
    assert [(field.name, field.type) for field in ours.schema] == [(field.name, field.type) for field in theirs.schema]
    different = [name for name in ours.column_names if not ours[name].equals(theirs[name])]
    assert not different


# --- Leaks: what is not known at a cut-off is changed, and what was predicted before must stay.


def later_outcomes(frames: Frames, cutoff: pd.Timestamp) -> Frames:
    """Flights that have not left are flown instead of cancelled and the reverse; those in the air land otherwise."""
    flights = frames["flights"].copy()
    departed = flights["sched_dep_at"] + minutes(flights["dep_delay"])
    waiting = ~(departed <= cutoff) & ~(departed.isna() & (flights["sched_dep_at"] + timedelta(days=1) <= cutoff))
    flying = (departed <= cutoff) & ~(landed(frames) <= cutoff)
    assert waiting.sum() > 100 and flying.sum() > 20
    late = ((cutoff - flights["sched_dep_at"]).dt.total_seconds() // 60 + 1).clip(lower=17).astype("Int32")
    flights["dep_delay"] = flights["dep_delay"].mask(waiting, late.mask(departed.notna()))
    flights["arr_delay"] = (
        flights["arr_delay"].mask(waiting, flights["dep_delay"]).mask(flying, flights["arr_delay"] + 300)
    )
    flights["air_time"] = flights["air_time"].mask(waiting, 100).mask(flying, flights["air_time"] + 300)
    flights["arr_time"] = flights["arr_time"].mask(waiting | flying, (flights["arr_time"].fillna(1200) + 500) % 2400)
    return {**frames, "flights": flights}


def later_days(frames: Frames, cutoff: pd.Timestamp) -> Frames:
    """Half of the flights of later days vanish; the others change aircraft and claim to have left ten hours early."""
    flights = frames["flights"]
    later = flights["day"] > cutoff.tz_convert("America/New_York").date()
    changed = flights[later].iloc[::2].assign(dep_delay=-600, arr_delay=-600, tailnum="N14228", dest="IAH")
    assert later.any()
    return {**frames, "flights": pd.concat([flights[~later], changed.astype(flights.dtypes)])}


def later_weather(frames: Frames, cutoff: pd.Timestamp) -> Frames:
    weather = frames["weather"].copy()
    later = weather["observed_at"] > cutoff
    weather.loc[later, ["temp", "visib", "precip"]] = 99.0
    return {**frames, "weather": weather.drop(weather[later].index[::3])}


def new_planes(frames: Frames, cutoff: pd.Timestamp) -> Frames:
    """Aircraft that have not been scheduled by the cut-off's day are registered otherwise, or for the first time."""
    planes, used = frames["planes"], not_later(frames, cutoff)["tailnum"]
    unused = ~planes["tailnum"].isin(used)
    renewed = planes[unused].assign(year=2013, seats=1).astype(planes.dtypes)
    return {**frames, "planes": pd.concat([planes[~unused], renewed, renewed.iloc[:1].assign(tailnum="N0NEW")])}


def new_airports(frames: Frames, cutoff: pd.Timestamp) -> Frames:
    """Airports that nobody flew to by the cut-off's day vanish or move."""
    airports = frames["airports"]
    unused = ~airports["faa"].isin(not_later(frames, cutoff)["dest"])
    return {**frames, "airports": pd.concat([airports[~unused], airports[unused].iloc[::2].assign(tzone="Asia/Tokyo")])}


def new_airlines(frames: Frames, cutoff: pd.Timestamp) -> Frames:
    return {**frames, "airlines": frames["airlines"].assign(name="renamed")}


def minutes(values: Any) -> Any:
    return pd.to_timedelta(values.astype("float64"), "min")


def not_later(frames: Frames, cutoff: pd.Timestamp) -> Any:
    return frames["flights"][frames["flights"]["day"] <= cutoff.tz_convert("America/New_York").date()]


def landed(frames: Frames) -> Any:
    """Landing instants by pandas' own time zones; for days without a clock change."""
    flights, zones = frames["flights"], frames["airports"].set_index("faa")["tzone"].to_dict()
    departed = flights["sched_dep_at"] + minutes(flights["dep_delay"])
    landed = pd.Series(pd.NaT, flights.index, dtype=departed.dtype)
    for dest, rows in flights[flights["arr_delay"].notna()].groupby("dest"):
        zone = "America/Puerto_Rico" if dest in PUERTO_RICO else zones[dest]
        local = departed[rows.index].dt.tz_convert(zone)
        clock = minutes(rows["arr_time"] // 100 * 60 + rows["arr_time"] % 100)
        passed = (local.dt.normalize() + clock - local) % timedelta(days=1)
        landed[rows.index] = departed[rows.index] + passed
    return landed


CUTOFF = pd.Timestamp("2013-07-09 19:10", tz="America/New_York")
END_OF_DAY = pd.Timestamp("2013-07-09 22:59", tz="America/New_York")
CHANGES = [later_outcomes, later_days, later_weather, new_planes, new_airports, new_airlines]


@pytest.fixture(scope="module")
def untouched(sail, tmp_path_factory) -> pa.Table:
    return features(sail, real(STORMY), tmp_path_factory.mktemp("untouched"))


@pytest.mark.parametrize("cutoff", [CUTOFF, END_OF_DAY], ids=["evening", "whole day"])
@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_what_was_not_known_at_the_prediction_changes_no_feature(
    sail, tmp_path, untouched: pa.Table, change: Callable[[Frames, pd.Timestamp], Frames], cutoff: pd.Timestamp
):
    changed = features(sail, change(real(STORMY), cutoff), tmp_path)
    before = [predicted_by(table, cutoff) for table in (untouched, changed)]
    assert before[0].num_rows > 3000
    assert [name for name in before[0].column_names if not before[0][name].equals(before[1][name])] == []
    if change in (later_outcomes, later_days, later_weather):
        assert not changed.drop_columns("delayed").equals(untouched.drop_columns("delayed")), "nothing was changed"


def predicted_by(table: pa.Table, cutoff: pd.Timestamp) -> pa.Table:
    """Rows predicted at or before `cutoff`, without the label."""
    return table.filter(pc.field("prediction_time") <= pa.scalar(cutoff)).drop_columns("delayed")


# --- By hand. All schedules are New York time in January unless they say otherwise.


def flight(number: int, scheduled: str, delay: int | None = None, **columns: object) -> dict[str, object]:
    at = pd.Timestamp(scheduled, tz="America/New_York")
    defaults: dict[str, object] = {
        **{"carrier": "UA", "origin": "EWR", "dest": "IAH", "distance": 1400, "tailnum": f"N{number}"},
        **{"year": at.year, "month": at.month, "dayofmonth": at.day, "day": at.date()},
    }
    clock = {"sched_dep_time": at.hour * 100 + at.minute, "sched_dep_at": at.tz_convert("UTC"), "dep_delay": delay}
    return {**defaults, **clock, "flight": number, **columns}


def by_hand(spark: SparkSession, folder: Path, flights: list[dict], weather: list[dict] = []) -> dict[int, dict]:  # noqa: B006
    """The features of hand-made flights by flight number; planes and airports are the real ones."""
    rows = {"flights": flights, "weather": weather}
    frames = {name: pd.DataFrame(value, columns=nyc.table(name).column_names) for name, value in rows.items()}
    table = features(spark, {**real([]), **frames}, folder)
    return {int(row["flight_id"].split("-")[4]): row for row in table.to_pylist()}


def test_departures_and_overdue_flights_count_up_to_the_minute_of_the_prediction(sail, tmp_path):
    rows = by_hand(
        sail,
        tmp_path,
        [
            flight(1, "2013-01-10 12:00", 60),  # left at 13:00, exactly three hours before: no longer counted
            flight(2, "2013-01-10 12:55", 6),  # left at 13:01
            flight(3, "2013-01-10 15:30", 30),  # left at 16:00, the minute of the prediction
            flight(4, "2013-01-10 15:40", 21),  # leaves at 16:01: overdue by 20 minutes
            flight(5, "2013-01-10 10:30"),  # cancelled: overdue by 330 minutes
            flight(6, "2013-01-10 09:59"),  # cancelled over six hours ago
            flight(7, "2013-01-10 15:00", 600, origin="JFK", carrier="B6"),  # overdue by 60 minutes
            flight(9, "2013-01-10 17:00", 0),
        ],
    )
    assert rows[9]["origin_departures_3h"] == 2
    assert rows[9]["origin_departure_delay_3h"] == 18
    assert (rows[9]["origin_overdue"], rows[9]["origin_overdue_minutes"]) == (2, 350)
    assert (rows[9]["carrier_overdue"], rows[9]["airports_overdue"]) == (2, 3)
    assert rows[9]["airports_overdue_minutes"] == 410


def test_the_latest_observation_at_the_origin_counts_up_to_six_hours(sail, tmp_path):
    observed = [("EWR", "11:00", 31.0), ("EWR", "12:00", 32.0), ("EWR", "12:01", 99.0), ("JFK", "12:00", 99.0)]
    weather = [
        {"origin": origin, "day": date(2013, 1, 10), "observed_at": pd.Timestamp(f"2013-01-10 {clock}Z"), "temp": temp}
        for origin, clock, temp in observed
    ]
    flights = [flight(1, "2013-01-10 08:00"), flight(2, "2013-01-10 07:59"), flight(3, "2013-01-10 14:01")]
    rows = by_hand(sail, tmp_path, [*flights, flight(4, "2013-01-10 14:02")], weather)
    assert [(rows[n]["temp"], rows[n]["weather_age_minutes"]) for n in (1, 2)] == [(32.0, 0), (31.0, 59)]
    assert (rows[3]["temp"], rows[3]["weather_age_minutes"]) == (99.0, 360)
    assert (rows[4]["temp"], rows[4]["weather_age_minutes"]) == (None, None)


def test_a_cancellation_is_known_a_day_after_its_schedule_and_for_seven_days(sail, tmp_path):
    rows = by_hand(
        sail,
        tmp_path,
        [
            flight(1, "2013-01-02 08:59"),  # a day and seven days ago, and one minute
            flight(2, "2013-01-03 09:00"),
            flight(3, "2013-01-09 09:00", 5),
            flight(4, "2013-01-08 09:00", 5, dest="ORD"),
            flight(5, "2013-01-09 09:01"),  # not known to be cancelled until a minute later
            flight(9, "2013-01-10 10:00"),
        ],
    )
    assert rows[9]["route_cancellation_rate_7d"] == 0.5
    assert rows[5]["route_cancellation_rate_7d"] == 1


def test_the_previous_leg_shows_only_what_has_happened(sail, tmp_path):
    arrived = {"arr_time": 1130, "arr_delay": 25, "air_time": 200}
    rows = by_hand(
        sail,
        tmp_path,
        [
            flight(1, "2013-01-10 08:00", 20, tailnum="N1", **arrived),  # lands at 12:30 New York time
            flight(2, "2013-01-10 09:00", tailnum="N1"),
            flight(3, "2013-01-10 10:00", tailnum="N2"),
            flight(4, "2013-01-10 08:00", 20, tailnum="N3", **arrived),
            flight(5, "2013-01-10 13:29", tailnum="N3"),  # predicted a minute before that landing
            flight(6, "2013-01-10 08:00", 20, tailnum="N4", **arrived),
            flight(7, "2013-01-10 13:30", tailnum="N4"),
            flight(8, "2013-01-12 13:31", tailnum="N4"),
        ],
    )
    names = ["hours", "departure_delay", "overdue_minutes", "arrival_delay", "landed_hours"]
    previous = {number: [row[f"previous_leg_{name}"] for name in names] for number, row in rows.items()}
    assert previous[1] == previous[3] == previous[8] == [None] * 5
    assert previous[2] == [1, None, 0, None, None]
    assert previous[5][1:] == [20, 0, None, None]
    assert previous[7] == [5.5, 20, 0, 25, 1]


@pytest.mark.parametrize(
    ("departure", "dest", "air_time", "arr_time", "minutes_in_all"),
    [
        ("2013-01-10 23:30", "LAX", 330, 250, 380),
        ("2013-01-10 23:30", "SJU", 190, 420, 230),
        ("2013-01-10 21:00", "IAH", 200, 2400, 240),
        ("2013-01-10 10:00", "HNL", 640, 1555, 655),
        ("2013-03-09 23:06", "PBI", 141, 203, 177),  # 2:03 did not exist: that clock had not been put forward
        ("2013-03-09 23:06", "PBI", 141, 303, 177),
        ("2013-11-02 23:30", "PBI", 100, 140, 130),
        ("2013-11-02 23:30", "PBI", 140, 140, 190),  # the second 1:40 of that night
        ("2013-11-02 23:30", "PBI", 140, 300, 270),
    ],
)
def test_an_arrival_is_known_from_its_landing_across_zones_midnight_and_clock_changes(
    sail, tmp_path, departure, dest, air_time, arr_time, minutes_in_all
):
    at = pd.Timestamp(departure, tz="America/New_York")
    follows = (at.tz_convert("UTC") + timedelta(hours=20)).tz_convert("America/New_York")
    leg = flight(1, departure, 0, dest=dest, air_time=air_time, arr_time=arr_time, arr_delay=5, tailnum="N1")
    rows = by_hand(sail, tmp_path, [leg, flight(2, str(follows.tz_localize(None)), tailnum="N1")])
    assert rows[2]["previous_leg_landed_hours"] * 60 == pytest.approx(20 * 60 - minutes_in_all)


def test_an_arrival_at_an_airport_of_unknown_zone_is_never_used(sail, tmp_path):
    leg = flight(1, "2013-01-10 08:00", 0, dest="ZZZ", air_time=100, arr_time=1000, arr_delay=5, tailnum="N1")
    row = by_hand(sail, tmp_path, [leg, flight(2, "2013-01-11 08:00", dest="ZZZ", tailnum="N1")])[2]
    assert row["previous_leg_arrival_delay"] is row["route_arrival_delay_7d"] is None
    assert row["previous_leg_departure_delay"] == 0
