"""Great Expectations on ranges of days: the verdicts of day-by-day runs, with the failing values."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from pyspark.sql import DataFrame, SparkSession

from dbx_jobs.contract import Expectation
from dbx_jobs.errors import DataError
from dbx_jobs.expectations import MOST_FAILING, Suite, _Validation

DAYS = [f"2013-01-0{n}" for n in range(1, 6)]
OUTLIERS = {"column": "w", "method": "iqr", "multiplier": 3}
FIFTY = {"row_condition": "z = 50", "condition_parser": "spark"}
AGGREGATES = [
    Expectation("rows", "expect_table_row_count_to_be_between", {"min_value": 90, "max_value": 120}),
    Expectation("exactly", "expect_table_row_count_to_equal", {"value": 102}),
    Expectation("mean", "expect_column_mean_to_be_between", {"column": "x", "max_value": 50.5, "strict_max": True}),
    Expectation("mean of some", "expect_column_mean_to_be_between", {"column": "x", "max_value": 3, **FIFTY}),
    Expectation("sum", "expect_column_sum_to_be_between", {"column": "v", "min_value": 1140}),
    Expectation("max", "expect_column_max_to_be_between", {"column": "v", "max_value": 25}),
    Expectation("min", "expect_column_min_to_be_between", {"column": "w", "max_value": 0}),
    Expectation("kinds", "expect_column_unique_value_count_to_be_between", {"column": "c", "max_value": 1}, "WARN"),
    Expectation("there", "expect_column_to_exist", {"column": "x"}),
    Expectation("type", "expect_column_values_to_be_of_type", {"column": "x", "type_": "LongType"}),
]
CONDITIONS = [
    Expectation("known", "expect_column_values_to_be_in_set", {"column": "c", "value_set": ["a", "b"]}),
    Expectation("mostly", "expect_column_values_to_not_be_null", {"column": "y", "mostly": 0.9}),
    Expectation("absent", "expect_column_values_to_be_null", {"column": "few"}),
    Expectation("nine tenths", "expect_column_values_to_be_between", {"column": "v", "max_value": 22.5, "mostly": 0.9}),
    Expectation("small", "expect_column_values_to_be_between", {"column": "x", "max_value": 104}),
    Expectation("some", "expect_column_values_to_be_between", {"column": "x", "max_value": 4, **FIFTY}),
    Expectation("length", "expect_column_value_lengths_to_be_between", {"column": "s", "max_value": 2}),
    Expectation("pattern", "expect_column_values_to_match_regex", {"column": "id", "regex": "-[1-9]?[0-9]$"}),
]
COMPARISONS = [
    Expectation("id", "expect_column_values_to_be_unique", {"column": "id"}),
    Expectation("id in a day", "expect_column_values_to_be_unique", {"column": "x"}),
    Expectation("pair", "expect_compound_columns_to_be_unique", {"column_list": ["c", "x"]}),
    Expectation("not unique", "expect_column_values_to_be_unique", {"column": "u"}),
    Expectation("ordered", "expect_column_pair_values_a_to_be_greater_than_b", {"column_A": "x", "column_B": "z"}),
    Expectation("among", "expect_column_distinct_values_to_be_in_set", {"column": "c", "value_set": ["a", "b"]}),
    Expectation("outliers", "expect_column_values_to_not_be_outliers", OUTLIERS),
    Expectation(
        "far out",
        "expect_column_value_z_scores_to_be_less_than",
        {"column": "w", "threshold": 4, "double_sided": True},
    ),
]
CHECKS = [*AGGREGATES, *CONDITIONS, *COMPARISONS]


@pytest.fixture(scope="module")
def table(sail: SparkSession) -> DataFrame:
    """Day n has 100 + n rows but the last, which has none; x runs from 0, y is null ever more often, v on all of day 3.

    No day has more unexpected values of a check than are shown: which of more come first is left to the engine.
    The outlier of w on day 2 is none in the range, where day 4 spreads wide.
    """
    return sail.sql(
        """
        SELECT day, concat(day, '-', x) AS id, CAST(x AS DOUBLE) AS x,
               CASE WHEN n = 3 AND x < 6 THEN x DIV 2 ELSE x END AS u,
               CASE WHEN x = 7 AND n = 3 THEN 'c' ELSE 'a' END AS c, repeat('a', CASE WHEN x < 9 THEN n END) AS s,
               CASE WHEN n <> 3 AND x % 10 <> 0 THEN x / CAST(4 AS DOUBLE) END AS v,
               CASE WHEN n <> 3 AND x < n THEN 1 END AS few,
               CASE WHEN x >= n * 5 THEN 1 END AS y, CASE WHEN x = 5 AND n = 2 THEN 50 ELSE x % 3 - 3 END AS z,
               CASE WHEN n = 4 THEN x * 10 WHEN x = 5 AND n = 2 THEN 50 ELSE x % 3 END AS w
        FROM (SELECT n, explode(sequence(0, 99 + n)) AS x, CAST(date_add(DATE'2012-12-31', n) AS DATE) AS day
              FROM (SELECT explode(array(1, 2, 3, 4)) AS n))
        """
    )


def test_the_verdicts_on_a_range_are_those_of_day_by_day_runs(table: DataFrame) -> None:
    whole = Suite(CHECKS).evaluate(table, ["id"], DAYS)
    single = [
        replace(report, partition=day)
        for day in DAYS
        for report in Suite(CHECKS).evaluate(table.where(f"day = DATE'{day}'"), ["id"], [None])
    ]
    assert whole == single
    # A dash for each day that passes; on the last, which is empty, no mean, sum, least or greatest value does.
    by_check = {c.name: "".join("x-"[r.passed] for r in whole if r.name == c.name) for c in CHECKS}
    assert by_check == {
        "rows": "----x",
        "exactly": "x-xxx",
        "mean": "-xxxx",
        "mean of some": "xxxxx",
        "sum": "x-x-x",
        "max": "-xxxx",
        "min": "----x",
        "kinds": "--x--",
        "there": "-----",
        "type": "xxxxx",
        "known": "--x--",
        "mostly": "--xx-",
        "absent": "xx-x-",
        "nine tenths": "-x-x-",
        "small": "-----",
        "some": "-x---",
        "length": "--xx-",
        "pattern": "xxxx-",
        "id": "-----",
        "id in a day": "-----",
        "pair": "-----",
        "not unique": "--x--",
        "ordered": "-x---",
        "among": "--x--",
        "outliers": "-x---",
        "far out": "-x---",
    }


def test_only_days_with_values_to_show_are_validated_by_themselves(
    table: DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    validate, validated = _Validation.__call__, []

    def recorded(self: _Validation, frame: DataFrame, names: Sequence[str], *shown: Any) -> Any:
        validated.append(list(names))
        return validate(self, frame, names, *shown)

    monkeypatch.setattr(_Validation, "__call__", recorded)
    Suite([*AGGREGATES, CONDITIONS[0], *COMPARISONS[:1]]).evaluate(table, ["id"], DAYS)
    assert validated == [["id"], [], [], ["known"], [], []]


def test_failing_values_come_with_the_key_of_their_rows(table: DataFrame) -> None:
    checks = [c for c in CHECKS if c.name in ("rows", "kinds", "known", "mostly")]
    reports = {(r.name, r.partition): r for r in Suite(checks).evaluate(table, ["id"], DAYS)}
    known = reports["known", DAYS[2]]
    assert (known.observed, known.failing) == ("1 of 103 rows unexpected", ["id=2013-01-03-7, c=c"])
    assert len(reports["mostly", DAYS[3]].failing) == MOST_FAILING
    assert reports["rows", DAYS[4]].observed == "0" and reports["kinds", DAYS[0]].severity == "WARN"


def test_an_unknown_expectation_is_refused_by_the_name_of_its_check() -> None:
    with pytest.raises(DataError, match="check odd: Great Expectations has no expectation 'expect_nothing'"):
        Suite([Expectation("odd", "expect_nothing")])


def test_wrong_arguments_are_refused_by_the_name_of_their_check() -> None:
    with pytest.raises(DataError, match="check odd: expect_column_values_to_not_be_null does not take .*colum"):
        Suite([Expectation("odd", "expect_column_values_to_not_be_null", {"colum": "x"})])


def test_a_check_of_a_column_that_is_not_there_is_an_error(table: DataFrame) -> None:
    suite = Suite([Expectation("odd", "expect_column_values_to_not_be_null", {"column": "nope"})])
    with pytest.raises(DataError, match="check odd cannot be evaluated: .*nope"):
        suite.evaluate(table, ["id"], DAYS)


def test_a_check_that_does_not_fit_the_type_of_its_column_is_an_error(table: DataFrame) -> None:
    suite = Suite([CHECKS[0], Expectation("odd", "expect_column_mean_to_be_between", {"column": "c", "max_value": 1})])
    with pytest.raises(DataError, match="check odd cannot be evaluated: .*numeric"):
        suite.evaluate(table, ["id"], DAYS)


def test_two_checks_of_one_name_are_refused() -> None:
    with pytest.raises(DataError, match="same name"):
        Suite([CHECKS[0], CHECKS[0]])
