"""Features of flights as known one hour before their scheduled departure, and the label: over 15 minutes late."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from typing import TYPE_CHECKING

from pyspark.sql import functions as F
from pyspark.sql.window import Window

from dbx_jobs.contract import Days
from dbx_jobs.shapes import Asks, Spell, active_sums, latest_as_of

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

HOUR = 3600
DAY = 24 * HOUR
OUTCOME_WITHIN = 36 * HOUR
"""A departure or landing later than this after the schedule is never used: with it every look-back has a bound."""
EARLIEST_DEPARTURE = -60
"""Minutes; a row that left earlier is not believed, for it would tell about a day later than the prediction's."""
CANCELLED_AFTER = DAY
"""The data give cancellations no time: a flight counts as cancelled when it has not left so long after its schedule."""
OVERDUE_UNTIL = 6 * HOUR
"""A flight that has not left so long after its schedule no longer counts as overdue."""
WEATHER_WITHIN = 6 * HOUR
PREVIOUS_LEG_WITHIN = 48 * HOUR
SPANS = {"3h": 3 * HOUR, "6h": 6 * HOUR, "24h": DAY, "7d": 7 * DAY}
HOME = "America/New_York"
"""The time zone of the airports of departure."""
PUERTO_RICO = ("BQN", "PSE", "SJU", "STT")
"""Destinations that the airports table lacks; all keep the time of America/Puerto_Rico."""


@dataclass(frozen=True)
class Output:
    """A column of the feature table: its Spark SQL expression, its meaning and its lineage as `<source>.<column>`.

    `by` are the columns of a request that it depends on beside the time; one without is computed from the request
    itself, so that its expression must be SQL that SQLite reads alike (see `dbx_jobs.online_contract`).
    """

    expression: str
    description: str
    sources: tuple[str, ...]
    by: tuple[str, ...] | None = None


def _departed(group: str, span: str) -> Spell:
    values = {f"{group}_departed_{span}": "1", f"{group}_departed_late_{span}": "dep_delay"}
    return Spell("departed", f"departed + {SPANS[span]}", values)


def _landed(group: str, span: str) -> Spell:
    values = {f"{group}_landed_{span}": "1", f"{group}_landed_late_{span}": "arr_delay"}
    return Spell("landed", f"landed + {SPANS[span]}", values)


def _overdue(group: str) -> Spell:
    given_up = f"scheduled + {OVERDUE_UNTIL}"
    until = f"least(coalesce(departed, {given_up}), {given_up})"
    return Spell("scheduled", until, {f"{group}_waiting": "1", f"{group}_waiting_scheduled": "scheduled"})


def _fate(group: str, span: str) -> Spell:
    cancelled = f"CASE WHEN dep_delay * 60 < {CANCELLED_AFTER} THEN 0 ELSE 1 END"
    known = f"scheduled + {CANCELLED_AFTER}"
    return Spell(known, f"{known} + {SPANS[span]}", {f"{group}_planned": "1", f"{group}_cancelled": cancelled})


OF_A_FLIGHT = (
    *("day", "carrier", "flight", "origin", "dest", "tailnum", "distance", "sched_dep_at", "sched_dep_time"),
    *("dep_delay", "arr_delay", "scheduled", "asked", "due", "departed"),
)
"""The columns of flights that are read on: the fewer there are, the sooner a day's plan is made."""

LEG_COLUMNS = ("scheduled", "departed", "landed", "dep_delay", "arr_delay", "distance")
"""What is told of an aircraft's previous leg."""

ROUTE = ("carrier", "origin", "dest")

STREAMS: dict[tuple[str, ...], list[Spell]] = {
    (): [_departed("airports", "3h"), _landed("airports", "24h"), _overdue("airports")],
    ("origin",): [_departed("origin", "3h"), _overdue("origin")],
    ("carrier",): [_departed("carrier", "3h"), _landed("carrier", "6h"), _overdue("carrier")],
    ("dest",): [_landed("dest", "6h"), _landed("dest", "24h")],
    ROUTE: [_landed("route", "7d"), _fate("route", "7d")],
}
"""By key: the spells that are summed over the flights of equal key, at each flight's prediction time."""


def _of(source: str, *columns: str) -> tuple[str, ...]:
    return tuple(f"{source}.{column}" for column in columns)


DEPARTURES = _of("flights", "sched_dep_at", "dep_delay")
LANDINGS = (*DEPARTURES, *_of("flights", "arr_time", "arr_delay", "air_time", "dest"), *_of("airports", "faa", "tzone"))


def _departure_columns(group: str, which: str, *key: str) -> dict[str, Output]:
    sources = (*DEPARTURES, *_of("flights", *key))
    return {
        f"{group}_departure_delay_3h": Output(
            f"{group}_departed_late_3h / nullif({group}_departed_3h, 0)",
            f"Mean departure delay (minutes) of the flights {which} that left in the 3 hours before",
            sources,
            key,
        ),
        f"{group}_departures_3h": Output(
            f"CAST({group}_departed_3h AS int)",
            f"Number of flights {which} that left in the 3 hours before",
            sources,
            key,
        ),
        f"{group}_overdue": Output(
            f"CAST({group}_waiting AS int)",
            f"Number of flights {which} scheduled in the 6 hours before that have not departed",
            sources,
            key,
        ),
        f"{group}_overdue_minutes": Output(
            f"CAST(({group}_waiting * asked - {group}_waiting_scheduled) div 60 AS int)",
            f"Minutes that the overdue flights {which} are behind their schedules, in all",
            sources,
            key,
        ),
    }


def _arrival_delay(group: str, span: str, which: str, *key: str) -> dict[str, Output]:
    return {
        f"{group}_arrival_delay_{span}": Output(
            f"{group}_landed_late_{span} / nullif({group}_landed_{span}, 0)",
            f"Mean arrival delay (minutes) of the flights {which} that landed in the {span} before",
            tuple(dict.fromkeys((*LANDINGS, *_of("flights", *key)))),
            key,
        )
    }


WEATHER = {
    "temp": "Temperature (F)",
    "dewp": "Dew point (F)",
    "humid": "Relative humidity (%)",
    "wind_dir": "Wind direction (degrees)",
    "wind_speed": "Wind speed (mph)",
    "wind_gust": "Wind gust (mph)",
    "precip": "Precipitation (inches)",
    "pressure": "Sea-level pressure (millibars)",
    "visib": "Visibility (miles)",
}
LEG = (*DEPARTURES, "flights.tailnum")
LANDED_LEG = (*LANDINGS, "flights.tailnum")

COLUMNS: dict[str, Output] = {
    "day": Output("day", "Local date of the scheduled departure", _of("flights", "day")),
    "flight_id": Output(
        "day || '-' || carrier || '-' || flight || '-' || origin",
        "Date, carrier, flight number and origin: one flight",
        _of("flights", "day", "carrier", "flight", "origin"),
    ),
    "sched_dep_at": Output("sched_dep_at", "Scheduled departure", _of("flights", "sched_dep_at")),
    "prediction_time": Output(
        "timestamp_seconds(asked)",
        "One hour before the scheduled departure: later events are not known",
        _of("flights", "sched_dep_at"),
    ),
    "carrier": Output("carrier", "Airline", _of("flights", "carrier")),
    "origin": Output("origin", "Airport of departure", _of("flights", "origin")),
    "dest": Output("dest", "Airport of destination", _of("flights", "dest")),
    "distance": Output("distance", "Distance (miles)", _of("flights", "distance"), ("origin", "dest")),
    "weekday": Output("dayofweek(day)", "Day of the week of the local date, 1 is Sunday", _of("flights", "day")),
    "minute_of_day": Output(
        "CAST(sched_dep_time / 100 AS int) * 60 + sched_dep_time % 100",
        "Scheduled departure by local clock, in minutes since midnight",
        _of("flights", "sched_dep_time"),
    ),
    "origin_scheduled_in_hour": Output(
        "CAST(scheduled_in_hour AS int)",
        "Number of departures scheduled at the origin in the same local hour",
        _of("flights", "sched_dep_at", "origin"),
        ("origin",),
    ),
    "plane_age": Output(
        f"year(from_utc_timestamp(timestamp_seconds(due), '{HOME}')) - built",
        "Years since the plane was built",
        _of("flights", "sched_dep_at", "tailnum") + _of("planes", "year"),
        ("tailnum",),
    ),
    "plane_seats": Output("seats", "Seats of the plane", ("flights.tailnum", "planes.seats"), ("tailnum",)),
    **{
        name: Output(
            name,
            f"{text}, last observation at the origin",
            _of("weather", name, "observed_at", "origin"),
            ("origin",),
        )
        for name, text in WEATHER.items()
    },
    "weather_age_minutes": Output(
        "CAST((asked - observed) div 60 AS int)",
        "Age of the weather observation (minutes); over 6 hours all weather is missing",
        (*_of("weather", "observed_at", "origin"), "flights.sched_dep_at"),
        ("origin",),
    ),
    **_departure_columns("airports", "of the three airports"),
    **_departure_columns("origin", "of the origin", "origin"),
    **_departure_columns("carrier", "of the carrier", "carrier"),
    **_arrival_delay("airports", "24h", "of the three airports"),
    **_arrival_delay("carrier", "6h", "of the carrier", "carrier"),
    **_arrival_delay("dest", "6h", "to the destination", "dest"),
    **_arrival_delay("dest", "24h", "to the destination", "dest"),
    **_arrival_delay("route", "7d", "of the carrier on the route", *ROUTE),
    "route_cancellation_rate_7d": Output(
        "route_cancelled / nullif(route_planned, 0)",
        "Share of cancelled flights of the carrier on the route, over the 7 days of schedules that ended a day before",
        (*DEPARTURES, *_of("flights", *ROUTE)),
        ROUTE,
    ),
    "previous_leg_hours": Output(
        f"(due - previous_scheduled) / {HOUR}",
        "Hours since the schedule of the aircraft's previous departure from the three airports, at most 48",
        LEG,
        ("tailnum",),
    ),
    "previous_leg_distance": Output(
        "previous_distance",
        "Distance of the aircraft's previous leg (miles)",
        (*LEG, "flights.distance"),
        ("tailnum",),
    ),
    "previous_leg_departure_delay": Output(
        "CASE WHEN previous_departed <= asked THEN previous_dep_delay END",
        "Departure delay (minutes) of the aircraft's previous leg, once it has departed",
        LEG,
        ("tailnum",),
    ),
    "previous_leg_overdue_minutes": Output(
        "CASE WHEN previous_departed <= asked OR previous_scheduled > asked THEN 0 "
        "ELSE CAST((asked - previous_scheduled) div 60 AS int) END",
        "Minutes that the aircraft's previous leg is behind its schedule without having departed",
        LEG,
        ("tailnum",),
    ),
    "previous_leg_arrival_delay": Output(
        "CASE WHEN previous_landed <= asked THEN previous_arr_delay END",
        "Arrival delay (minutes) of the aircraft's previous leg, once it has landed",
        LANDED_LEG,
        ("tailnum",),
    ),
    "previous_leg_landed_hours": Output(
        f"CASE WHEN previous_landed <= asked THEN (due - previous_landed) / {HOUR} END",
        "Hours from the landing of the aircraft's previous leg to the scheduled departure, once it has landed",
        LANDED_LEG,
        ("tailnum",),
    ),
    "delayed": Output(
        "CASE WHEN arr_delay > 15 THEN 1 WHEN arr_delay <= 15 THEN 0 END",
        "Label: 1 if it arrived more than 15 minutes late, missing if it never arrived",
        _of("flights", "arr_delay"),
    ),
}
"""The feature table's columns in their order."""


def transform(
    sources: Mapping[str, "DataFrame"],
    days: Days | None = None,
    keep: "Callable[[DataFrame], DataFrame]" = lambda frame: frame,
    asks: "DataFrame | None" = None,
) -> "DataFrame":
    """The feature table, with the columns `COLUMNS`, for every row of `flights`, or those of `days` only.

    `sources` are the lake's flights, weather, planes and airports, unique in their keys. A row of day D depends only on
    the days D-9 to D of flights and weather, and there only on what was known at its prediction time. With `asks` its
    rows are computed instead, which are flights too, of which nothing but a request need be known: at `asked_at`, as of
    a departure an hour later, with the column `ask_id`.
    """
    flights = _timed(sources["flights"], sources["airports"])
    asking = _asks_of(days) if days else Asks()
    if asks is not None:
        flights, asking = flights.unionByName(_asked(asks, flights)), Asks("scheduled IS NULL")
    flights = keep(flights)
    recent = flights.where(f"coalesce(scheduled >= {asking.since - PREVIOUS_LEG_WITHIN}, true)")
    rows = _with_plane(_with_scheduled_in_hour(recent).where(asking.condition), sources["planes"])
    rows = rows.join(_previous_leg(recent, asking), "row_id", "left")
    for key, spells in STREAMS.items():
        sums = active_sums(flights, key=key, row_id="row_id", at="asked", spells=spells, asks=asking)
        rows = rows.join(sums, "row_id", "left")
    rows = rows.join(_latest_weather(flights.where(asking.condition), sources["weather"]), "row_id", "left")
    found = [f"{output.expression} AS {name}" for name, output in COLUMNS.items()]
    return rows.selectExpr(*found, *(["row_id AS ask_id"] if asks is not None else []))


def _asks_of(days: Days) -> Asks:
    """The flights of `days`. In no time zone does a day begin, or is a flight of it asked about, a day before UTC's."""
    since = datetime.combine(date.fromisoformat(days.start), time(), UTC).timestamp()
    return Asks(f"day BETWEEN DATE'{days.start}' AND DATE'{days.end}'", int(since) - DAY)


def _asked(asks: "DataFrame", flights: "DataFrame") -> "DataFrame":
    """`asks` as flights without a schedule, so that no sum counts them; their distance is that of their route."""
    routes = flights.groupBy("origin", "dest").agg(F.max("distance").alias("distance"))
    known = asks.drop("distance").join(F.broadcast(routes), ["origin", "dest"], "left")
    at = {"row_id": "ask_id", "asked": "unix_seconds(asked_at)", "due": f"unix_seconds(asked_at) + {HOUR}"}
    unknown = ("dep_delay", "arr_delay", "scheduled", "departed", "landed")
    types = dict(flights.select(*unknown).dtypes)
    values = at | {name: f"CAST(NULL AS {kind})" for name, kind in types.items()}
    return known.selectExpr(*(f"{values.get(name, name)} AS {name}" for name in flights.columns))


def _timed(flights: "DataFrame", airports: "DataFrame") -> "DataFrame":
    """What is needed of flights, with seconds since 1970: `asked` (prediction), `scheduled`, `departed`, `landed`.

    And `due`, the departure that is asked about: of a flight its schedule.
    """
    zones = F.broadcast(airports.selectExpr("faa AS dest", "tzone"))
    puerto_rico = ", ".join(f"'{code}'" for code in PUERTO_RICO)
    named = flights.join(zones, "dest", "left").selectExpr(
        "*",
        f"{COLUMNS['flight_id'].expression} AS row_id",
        "unix_seconds(sched_dep_at) AS scheduled",
        "unix_seconds(sched_dep_at) AS due",
        f"unix_seconds(sched_dep_at) - {HOUR} AS asked",
        f"CASE WHEN dest IN ({puerto_rico}) THEN 'America/Puerto_Rico' ELSE tzone END AS zone",
    )
    believed = f"dep_delay >= {EARLIEST_DEPARTURE} AND dep_delay * 60 <= {OUTCOME_WITHIN}"
    departed = named.selectExpr("*", f"CASE WHEN {believed} THEN scheduled + dep_delay * 60 END AS departed")
    in_time = f"landing - scheduled <= {OUTCOME_WITHIN} AND arr_delay IS NOT NULL"
    return _with_landing(departed).selectExpr("row_id", *OF_A_FLIGHT, f"CASE WHEN {in_time} THEN landing END AS landed")


def _with_landing(flights: "DataFrame") -> "DataFrame":
    """Flights with `landing`: when, after `departed` and `air_time`, the clock of `zone` first showed `arr_time`.

    Null unless all four are known and agree.
    """
    offset = "(unix_seconds(from_utc_timestamp(timestamp_seconds({0}), zone)) - {0})".format
    minutes = "(arr_time div 100 * 60 + arr_time % 100)"
    on_clock = flights.selectExpr(
        "*",
        f"{offset('departed')} AS departed_offset",
        f"departed + pmod({minutes} * 60 - departed - {offset('departed')}, {DAY}) AS on_clock",
    )
    turned = on_clock.selectExpr("*", f"on_clock + departed_offset - {offset('on_clock')} AS turned")
    # Within an hour of a clock change arr_time may be by either clock: by the first that leaves time for the flight.
    earliest = "departed + air_time * 60"
    either = f"CASE WHEN turned >= {earliest} THEN turned WHEN turned + {HOUR} >= {earliest} THEN turned + {HOUR} END"
    return turned.selectExpr("*", f"{either} AS landing")


def _with_scheduled_in_hour(flights: "DataFrame") -> "DataFrame":
    hour = Window.partitionBy("origin", F.expr(f"due div {HOUR}"))
    return flights.withColumn("scheduled_in_hour", F.count("scheduled").over(hour))


def _previous_leg(flights: "DataFrame", asking: Asks) -> "DataFrame":
    """Per `row_id` the columns `previous_<name>` of the aircraft's last flight that was scheduled before."""
    of_a_plane = flights.where("tailnum IS NOT NULL")
    # Two flights of an aircraft at the same time are an error of the source; the order of rows must not matter.
    legs = of_a_plane.where("scheduled IS NOT NULL").groupBy("tailnum", F.col("scheduled").alias("previous_scheduled"))
    told = (F.max_by(name, "row_id").alias(f"previous_{name}") for name in LEG_COLUMNS if name != "scheduled")
    return latest_as_of(
        of_a_plane.where(asking.condition).selectExpr("row_id", "tailnum", "due - 1 AS before"),
        legs.agg(*told),
        key="tailnum",
        row_id="row_id",
        at="before",
        seen_at="previous_scheduled",
        within=PREVIOUS_LEG_WITHIN - 1,
    )


def _with_plane(flights: "DataFrame", planes: "DataFrame") -> "DataFrame":
    return flights.join(F.broadcast(planes.selectExpr("tailnum", "year AS built", "seats")), "tailnum", "left")


def _latest_weather(flights: "DataFrame", weather: "DataFrame") -> "DataFrame":
    """Per `row_id` the weather columns and `observed` (seconds) of the last observation known at its prediction."""
    # Where local clocks repeat an hour two observations may share an instant; the order of rows must not matter.
    by_instant = weather.withColumn("observed", F.expr("unix_seconds(observed_at)")).groupBy("origin", "observed")
    return latest_as_of(
        flights.select("row_id", "origin", "asked"),
        by_instant.agg(*(F.max(name).alias(name) for name in WEATHER)),
        key="origin",
        row_id="row_id",
        at="asked",
        seen_at="observed",
        within=WEATHER_WITHIN,
    )
