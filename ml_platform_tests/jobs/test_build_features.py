"""The frame around a feature transformation: what it reads, checks and writes."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType

import pytest
from pyspark.sql import DataFrame, SparkSession

from dbx_jobs.contract import Days, Expectation, FeaturesRequest, TableInput
from dbx_jobs.delta import read_table, write_partitions
from dbx_jobs.errors import DataError
from dbx_jobs.jobs import build_features as job
from dbx_jobs.jobs.build_features import build_features
from ml_platform_tests.jobs.killed import killed_at, report_of, run_program
from ml_platform_tests.jobs.landed import Lake

JANUARY = Days("2013-01-01", "2013-01-31")
QUERY = """
    SELECT CONCAT(e.day, '-', e.id) AS event_id, e.day, e.at, k.name,
           SUM(e.amount) OVER (PARTITION BY e.kind ORDER BY unix_seconds(e.at)
                               RANGE BETWEEN 172800 PRECEDING AND 86400 PRECEDING) AS amount_two_days
    FROM events e LEFT JOIN kinds k ON e.kind = k.kind
"""


@pytest.fixture
def lake(tmp_path: Path, sail: SparkSession) -> Lake:
    """A daily source `events`, ten a day in January, and a snapshot `kinds`."""
    lake = Lake(tmp_path)
    events = sail.sql(
        """
        SELECT id, id % 3 AS kind, id * n AS amount, CAST(date_add(DATE'2012-12-31', n) AS DATE) AS day,
               timestamp_seconds(1356998400 + (n - 1) * 86400 + id * 3600) AS at
        FROM (SELECT n, explode(sequence(1, 10)) AS id FROM (SELECT explode(sequence(1, 31)) AS n))
        """
    )
    days = [f"2013-01-{n:02d}" for n in range(1, 32)]
    write_partitions(sail, events, lake.uri("lake/events"), days)
    kinds = sail.sql("SELECT * FROM VALUES (0, 'zero'), (1, 'one') AS t (kind, name)")
    write_partitions(sail, kinds, lake.uri("lake/kinds"), [None], daily=False)
    return lake


def request(lake: Lake, days: Days = JANUARY, transform: str = f"sql:{QUERY}") -> FeaturesRequest:
    return FeaturesRequest(
        product="demo",
        transform=transform,
        sources={
            "events": TableInput(lake.uri("lake/events")),
            "kinds": TableInput(lake.uri("lake/kinds"), daily=False),
        },
        table_uri=lake.uri("features/demo"),
        days=days,
        primary_key=["event_id"],
        event_time="at",
        look_back_days=2,
    )


def test_a_long_range_equals_its_days_one_by_one(
    sail: SparkSession, lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job, "DAYS_AT_ONCE", 7)
    report = build_features(sail, request(lake))
    assert [p.rows for p in report.partitions] == [10] * 31 and all(p.changed for p in report.partitions)
    assert any(row[4] is not None for row in lake.rows(sail, "features/demo"))
    for day in ("2013-01-01", "2013-01-08", "2013-01-31"):
        single = build_features(sail, request(lake, Days(day, day)))
        assert not single.partitions[0].changed and single.table_version == report.table_version


def test_it_reads_the_pinned_version_and_only_the_look_back(
    sail: SparkSession, lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple] = []

    def transform(sources: Mapping[str, DataFrame]) -> DataFrame:
        read = sources["events"].selectExpr("cast(min(day) as string)", "cast(max(day) as string)", "count(*)")
        seen.extend(tuple(row) for row in read.collect())
        return sources["events"].selectExpr("concat(day, id) AS event_id", "day", "at")

    module_named(monkeypatch, transform)
    events = lake.uri("lake/events")
    write_partitions(sail, read_table(sail, events).where("false"), events, ["2013-01-09"])
    asked = request(lake, Days("2013-01-10", "2013-01-11"), "python:demo_features")
    pinned = replace(asked, sources=asked.sources | {"events": TableInput(events, version=1)})
    assert build_features(sail, pinned).extra["source_versions"] == {"events": 1, "kinds": 1}
    assert build_features(sail, asked).extra["source_versions"] == {"events": 2, "kinds": 1}
    assert seen == [("2013-01-08", "2013-01-11", 40), ("2013-01-08", "2013-01-11", 30)]


def test_a_day_without_rows_is_reported_and_ends_empty(sail: SparkSession, lake: Lake) -> None:
    build_features(sail, request(lake))
    none_on_the_second = f"sql:SELECT * FROM ({QUERY}) WHERE day <> DATE'2013-01-02'"
    report = build_features(sail, request(lake, Days("2013-01-02", "2013-01-03"), none_on_the_second))
    assert [(p.partition, p.rows, p.changed) for p in report.partitions] == [
        ("2013-01-02", 0, True),
        ("2013-01-03", 10, False),
    ]
    assert len(lake.rows(sail, "features/demo")) == 300


@pytest.mark.parametrize(
    ("query", "reason"),
    [
        ("SELECT 'x' AS event_id, day, at FROM events", "primary key \\['event_id'\\] is not unique: \\('x',\\)"),
        ("SELECT nullif(id, 3) AS event_id, day, at FROM events", "'event_id' is null in 1 rows"),
        ("SELECT id AS event_id, at FROM events", "gives no column 'day'"),
        ("SELECT * FROM (SELECT id AS event_id, at FROM events)", "gives no column 'day'"),
        ("SELECT id AS event_id, day FROM events", "gives no column 'at'"),
        ("SELECT id AS event_id, day, CAST(at AS STRING) AS at FROM events", "'at' is of type string, not timestamp"),
        ("SELECT id AS event_id, CAST(NULL AS DATE) AS day, at FROM events", "'day' is null in 30 rows"),
    ],
)
def test_a_table_without_key_day_or_event_time_is_refused(
    sail: SparkSession, lake: Lake, query: str, reason: str
) -> None:
    with pytest.raises(DataError, match=reason):
        build_features(sail, request(lake, Days("2013-01-05", "2013-01-05"), f"sql:{query}"))


@pytest.mark.parametrize(
    ("transform", "reason"),
    [
        ("python:no_such_module", "'no_such_module' cannot be imported"),
        ("python:json", "'json' has no function transform"),
        ("sql: ", "neither python:<module> nor sql:<query>"),
        ("features.py", "neither python:<module> nor sql:<query>"),
    ],
)
def test_a_transformation_that_is_not_there_is_refused(
    sail: SparkSession, lake: Lake, transform: str, reason: str
) -> None:
    with pytest.raises(DataError, match=reason):
        build_features(sail, request(lake, transform=transform))


def test_a_source_that_is_not_there_is_refused_by_its_name(sail: SparkSession, lake: Lake) -> None:
    asked = request(lake)
    missing = replace(asked, sources={"clicks": TableInput(lake.uri("lake/clicks"))})
    with pytest.raises(DataError, match="source clicks: there is no Delta table"):
        build_features(sail, missing)
    later = replace(asked, sources={"events": TableInput(lake.uri("lake/events"), version=9)})
    with pytest.raises(DataError, match="version 9 is asked for, but .* is at 1"):
        build_features(sail, later)


def test_columns_carry_the_descriptions_and_lineage_of_the_module(
    sail: SparkSession, lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    @dataclass(frozen=True)
    class Described:
        description: str
        sources: tuple[str, ...]

    module = module_named(monkeypatch, lambda s: s["events"].selectExpr("concat(day, id) AS event_id", "day", "at"))
    module.COLUMNS = {  # type: ignore[attr-defined]
        "event_id": Described("One event", ("events.day", "events.id"))
    }
    day = Days("2013-01-05", "2013-01-05")
    report = build_features(sail, request(lake, day, "python:demo_features"))
    described = {column.name: (column.type, column.description, column.sources) for column in report.columns}
    assert described["event_id"] == ("string", "One event", ["events.day", "events.id"])
    assert described["at"] == ("timestamp", "", [])


def test_a_process_killed_at_any_point_and_run_again_gives_the_table_of_an_undisturbed_run(
    sail: SparkSession, lake: Lake
) -> None:
    checks = [Expectation("rows", "expect_table_row_count_to_be_between", {"min_value": 10})]
    asked = replace(request(lake), expectations=checks)
    calm = replace(request(lake), table_uri=lake.uri("features/calm"))
    build_features(sail, calm)
    assert killed_at(lake, "dbx_jobs.jobs.build_features", request(lake), (0, 4, 30)) >= 2
    assert run_program("dbx_jobs.jobs.build_features", asked, lake.root / "pipes").wait(120) == 0
    assert lake.rows(sail, "features/demo") == lake.rows(sail, "features/calm") != []
    report = report_of(lake.root / "pipes")
    assert len(report["partitions"]) == 31 and len(report["checks"]) == 31
    assert all(check["passed"] for check in report["checks"])


def module_named(monkeypatch: pytest.MonkeyPatch, transform: object) -> ModuleType:
    module = ModuleType("demo_features")
    module.transform = transform  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "demo_features", module)
    return module
