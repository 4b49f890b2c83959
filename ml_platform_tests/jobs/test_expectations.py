"""Great Expectations on ranges of days: the verdicts of day-by-day runs, with the failing values."""

from dataclasses import replace

import pytest
from pyspark.sql import DataFrame, SparkSession

from dbx_jobs.contract import Expectation
from dbx_jobs.errors import DataError
from dbx_jobs.expectations import MOST_FAILING, Suite

DAYS = [f"2013-01-0{n}" for n in range(1, 6)]
CHECKS = [
    Expectation("rows", "expect_table_row_count_to_be_between", {"min_value": 90, "max_value": 120}),
    Expectation("mean", "expect_column_mean_to_be_between", {"column": "x", "max_value": 60}, "WARN"),
    Expectation("known", "expect_column_values_to_be_in_set", {"column": "c", "value_set": ["a", "b"]}),
    Expectation("mostly", "expect_column_values_to_not_be_null", {"column": "y", "mostly": 0.9}),
    Expectation("small", "expect_column_values_to_be_between", {"column": "x", "max_value": 104}),
    Expectation("fine", "expect_column_values_to_be_between", {"column": "x", "min_value": 0}),
    Expectation("id", "expect_column_values_to_be_unique", {"column": "id"}),
    Expectation("id in a day", "expect_column_values_to_be_unique", {"column": "x"}),
    Expectation("pair", "expect_compound_columns_to_be_unique", {"column_list": ["c", "x"]}),
    Expectation("ordered", "expect_column_pair_values_a_to_be_greater_than_b", {"column_A": "x", "column_B": "z"}),
    Expectation(
        "far out",
        "expect_column_value_z_scores_to_be_less_than",
        {"column": "w", "threshold": 4, "double_sided": True},
    ),
]


@pytest.fixture(scope="module")
def table(sail: SparkSession) -> DataFrame:
    """Day n has 100 + n rows but the last, which has none; x runs from 0, y is null in ever more rows.

    The outlier of w on day 2 is none in the range, where day 4 spreads wide.
    """
    return sail.sql(
        """
        SELECT day, concat(day, '-', x) AS id, CAST(x AS DOUBLE) AS x,
               CASE WHEN x = 7 AND n = 3 THEN 'c' ELSE 'a' END AS c,
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
    by_check = {check.name: [r.passed for r in whole if r.name == check.name] for check in CHECKS}
    assert by_check == {
        "rows": [True, True, True, True, False],
        "mean": [True, True, True, True, False],
        "known": [True, True, False, True, True],
        "mostly": [True, True, False, False, True],
        "small": [True] * 5,
        "fine": [True] * 5,
        "id": [True] * 5,
        "id in a day": [True] * 5,
        "pair": [True] * 5,
        "ordered": [True, False, True, True, True],
        "far out": [True, False, True, True, True],
    }


def test_failing_values_come_with_the_key_of_their_rows(table: DataFrame) -> None:
    reports = {(r.name, r.partition): r for r in Suite(CHECKS).evaluate(table, ["id"], DAYS)}
    known = reports["known", DAYS[2]]
    assert (known.observed, known.failing) == ("1 of 103 rows unexpected", ["id=2013-01-03-7, c=c"])
    assert len(reports["mostly", DAYS[3]].failing) == MOST_FAILING
    assert reports["rows", DAYS[4]].observed == "0" and reports["mean", DAYS[0]].severity == "WARN"


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


def test_two_checks_of_one_name_are_refused() -> None:
    with pytest.raises(DataError, match="same name"):
        Suite([CHECKS[0], CHECKS[0]])
