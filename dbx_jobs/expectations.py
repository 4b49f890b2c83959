"""Great Expectations on a Spark table: one verdict for each expectation and partition.

A validation costs tenths of a second, however few the rows, so a range of days is not validated day by day. Verdicts,
observed values and failing values are those of day-by-day runs all the same (but, as between any two runs, for the last
digit of a mean of fractions, and for which of a day's many failing values are shown):

1. Counts, sums, means and the like, and conditions on single rows with or without `mostly`: judged for all days by
   aggregates grouped by day (`expectations_by_day`).
2. Of the rest, what compares rows with one another (uniqueness, order) or columns of a row: the range is validated as a
   whole. What is unique in the range is unique in each day, and so on, so it has passed on every day on which the range
   shows no unexpected row.
3. Validated day by day: the days that (1) fails, if there are values to show, those that (2) leaves open, and the
   expectations that neither covers (medians, quantiles, queries; scores and outliers relative to the day's rows).
"""

import logging
import os
from collections.abc import Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

from dbx_jobs.contract import PARTITION_COLUMN, CheckReport, Expectation
from dbx_jobs.errors import DataError
from dbx_jobs.expectations_by_day import judge_days

if TYPE_CHECKING:
    from great_expectations.core import ExpectationValidationResult
    from great_expectations.core.batch_definition import BatchDefinition
    from great_expectations.execution_engine.sparkdf_execution_engine import SparkDFExecutionEngine
    from great_expectations.expectations.expectation import Expectation as GxExpectation
    from pyspark.sql import DataFrame

MOST_FAILING = 20
_MOST_LOCATED = 200
"""Unexpected rows of a range that Great Expectations shows at most; with more of them, every day is validated."""

_RELATIVE_TO_OTHER_ROWS = {"expect_column_value_z_scores_to_be_less_than", "expect_column_values_to_not_be_outliers"}


class Suite:
    """The expectations of one table; raises DataError at once where one is not as Great Expectations declares it."""

    def __init__(self, expectations: Sequence[Expectation]) -> None:
        self._declared = {expectation.name: expectation for expectation in expectations}
        if len(self._declared) != len(expectations):
            raise DataError("two checks of one table have the same name; name each differently")
        self._built = {e.name: _build(e) for e in expectations}

    def evaluate(self, table: "DataFrame", key: Sequence[str], days: Sequence[str | None]) -> list[CheckReport]:
        """A report for each expectation and each of `days` ([None]: the table as a whole), all of which `table` holds.

        Failing values come with the `key` columns of their rows. Raises DataError where one cannot be evaluated.
        """
        if not self._built or not days:
            return []
        validate = _Validation(self._built)
        if None in days:
            results = validate(table, list(self._built), key, MOST_FAILING)
            return [self._report(name, None, results[name]) for name in self._declared]
        dates = [day for day in days if day is not None]
        judged = judge_days(validate.engine(table), self._built, dates)
        about_rows = [name for name in self._built if name not in judged and self._is_about_rows(name)]
        whole = validate(table, about_rows, [*key, PARTITION_COLUMN], _MOST_LOCATED)
        suspect = {name: _days_with_unexpected(result.result, dates) for name, result in whole.items()}
        suspect |= {name: _days_to_show(results) for name, results in judged.items()}
        reports = []
        for day in dates:
            results = {name: by_day[day] for name, by_day in judged.items()}
            open_ = [name for name in self._built if day in suspect.get(name, dates)]
            results |= validate(table.where(f"{PARTITION_COLUMN} = DATE'{day}'"), open_, key, MOST_FAILING)
            reports += [self._report(name, day, results.get(name)) for name in self._declared]
        return reports

    def _is_about_rows(self, name: str) -> bool:
        from great_expectations.expectations.expectation import (
            ColumnMapExpectation,
            ColumnPairMapExpectation,
            MulticolumnMapExpectation,
        )

        about_rows = (ColumnMapExpectation, ColumnPairMapExpectation, MulticolumnMapExpectation)
        return isinstance(self._built[name], about_rows) and self._declared[name].type not in _RELATIVE_TO_OTHER_ROWS

    def _report(self, name: str, day: str | None, result: "ExpectationValidationResult | None") -> CheckReport:
        """The report of a result; without one, the whole range has shown that nothing is unexpected on that day."""
        passed = result is None or bool(result.success)
        return CheckReport(
            name=name,
            passed=passed,
            severity=self._declared[name].severity,
            partition=day,
            observed=_observed(result.result if result else {}),
            failing=[] if result is None or passed else _failing(result.result),
        )


class _Validation:
    """Validates frames of one table with Great Expectations, in memory: no project files, no bars, no telemetry."""

    def __init__(self, built: "Mapping[str, GxExpectation]") -> None:
        self._frame, self._built = _any_frame(), built

    def engine(self, table: "DataFrame") -> "SparkDFExecutionEngine":
        """The engine of Great Expectations with `table` as its data."""
        batch = self._frame.get_batch({"dataframe": table})
        engine: Any = batch.data.execution_engine  # pyright: ignore[reportOptionalMemberAccess]
        engine.batch_manager.load_batch_list(batch_list=[batch])
        return engine

    def __call__(
        self, table: "DataFrame", names: Sequence[str], shown: Sequence[str], most: int
    ) -> "dict[str, ExpectationValidationResult]":
        """The results of `names`, each with at most `most` unexpected rows by their columns `shown`."""
        if not names:
            return {}
        from great_expectations import ExpectationSuite

        result_format = {
            "result_format": "SUMMARY",
            "partial_unexpected_count": most,
            "unexpected_index_column_names": list(dict.fromkeys(shown)),
            "return_unexpected_index_query": False,
        }
        suite = ExpectationSuite(name="suite", expectations=[self._built[name] for name in names])
        results = {}
        batch = self._frame.get_batch({"dataframe": table})
        for result in batch.validate(suite, result_format=result_format).results:
            name = (result.expectation_config.meta or {})["check"] if result.expectation_config else ""
            _refuse_exception(name, result)
            results[name] = result
        return results


@cache
def _any_frame() -> "BatchDefinition":
    """A frame that is handed over; once a process, since a context writes out its whole configuration three times."""
    import great_expectations as gx

    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = {"globally": False}  # pyright: ignore[reportAttributeAccessIssue]
    asset = context.data_sources.add_spark("spark", persist=False).add_dataframe_asset("table")
    return asset.add_batch_definition_whole_dataframe("whole")


def _build(expectation: Expectation) -> "GxExpectation":
    os.environ["GX_ANALYTICS_ENABLED"] = "false"  # read when it is imported
    logging.getLogger("great_expectations").setLevel(logging.ERROR)
    from great_expectations.exceptions.exceptions import ExpectationNotFoundError
    from great_expectations.expectations.expectation_configuration import ExpectationConfiguration

    try:
        return ExpectationConfiguration(
            type=expectation.type, kwargs=expectation.kwargs, meta={"check": expectation.name}
        ).to_domain_obj()
    except ExpectationNotFoundError:
        raise DataError(
            f"check {expectation.name}: Great Expectations has no expectation {expectation.type!r}"
        ) from None
    except (ValueError, TypeError) as error:
        raise DataError(
            f"check {expectation.name}: {expectation.type} does not take {expectation.kwargs}: {error}"
        ) from error


def _refuse_exception(name: str, result: "ExpectationValidationResult") -> None:
    info: dict[str, Any] = result.exception_info or {}
    # Either one exception, or one for each metric that could not be computed.
    for part in [info] if "raised_exception" in info else info.values():
        if part["raised_exception"]:
            raise DataError(f"check {name} cannot be evaluated: {part['exception_message']}")


def _days_with_unexpected(result: dict[str, Any], days: Sequence[str]) -> set[str]:
    """The days that may hold unexpected rows, by the result of the whole range."""
    count = result.get("unexpected_count") or 0
    located = result.get("partial_unexpected_index_list") or []
    return {str(row[PARTITION_COLUMN]) for row in located} if count == len(located) else set(days)


def _days_to_show(results: "Mapping[str, ExpectationValidationResult]") -> set[str]:
    """The days that have failed with unexpected values."""
    return {day for day, result in results.items() if not result.success and result.result.get("unexpected_count")}


def _observed(result: dict[str, Any]) -> str:
    if "observed_value" in result:
        return str(result["observed_value"])
    unexpected = result.get("unexpected_count") or 0
    return f"{unexpected} of {result['element_count']} rows unexpected" if unexpected else "no unexpected row"


def _failing(result: dict[str, Any]) -> list[str]:
    """Up to MOST_FAILING unexpected values, each with its row's key where Great Expectations tells it."""
    rows = result.get("partial_unexpected_index_list")
    if rows:
        return sorted(", ".join(f"{name}={value}" for name, value in row.items()) for row in rows[:MOST_FAILING])
    return sorted(str(value) for value in result.get("partial_unexpected_list", [])[:MOST_FAILING])
