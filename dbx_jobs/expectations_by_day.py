"""Judges expectations on every day of a table at once, by metrics that Great Expectations would compute day by day.

Great Expectations judges by metrics: counts, means, schemas. A metric that it declares as a Spark aggregate over single
rows is grouped by day here, with Great Expectations' own column, filters and nulls; one of the schema is the same on
every day. An expectation that needs nothing else is judged for each day by its own rule (`mostly` included) on the
metrics of that day. Left out are those that need more: windows (uniqueness, order), statistics of the table within a
condition (z-scores, outliers), medians, quantiles, value counts, pairs of columns and queries.
"""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from dbx_jobs.contract import PARTITION_COLUMN

if TYPE_CHECKING:
    from great_expectations.core import ExpectationValidationResult
    from great_expectations.execution_engine.sparkdf_execution_engine import SparkDFExecutionEngine
    from great_expectations.expectations.expectation import Expectation
    from great_expectations.validator.metric_configuration import MetricConfiguration
    from great_expectations.validator.metrics_calculator import MetricsCalculator
    from great_expectations.validator.validator import ValidationDependencies
    from pyspark.sql import Column

_OF_SCHEMA = {"table.columns", "table.column_types", "table.column_count"}
_AGGREGATE = ".aggregate_fn"
_EXPRESSIONS = (".condition", ".map", _AGGREGATE)
"""Suffixes of metrics that are Spark expressions, not yet values."""
_ASKED_BY_ALL = "table.row_count"
"""Every metric of a column has it resolved; no Spark expression takes its value."""


@dataclass(frozen=True)
class _Metric:
    """A metric of each day: a constant, or a Spark aggregate over the rows of a domain of Great Expectations."""

    constant: Any = None
    aggregate: "Column | None" = None
    domain: Mapping[str, Any] = field(default_factory=dict)


def judge_days(
    engine: "SparkDFExecutionEngine", expectations: "Mapping[str, Expectation]", days: Sequence[str]
) -> "dict[str, dict[str, ExpectationValidationResult]]":
    """Results by name and day of the expectations that can be judged so: unexpected values are counted, not shown.

    `engine` holds the table. An expectation that cannot be evaluated is left out, for a validation to tell why.
    """
    from great_expectations.validator.metrics_calculator import MetricsCalculator
    from pyspark.errors import PySparkException

    calculator = MetricsCalculator(execution_engine=engine, show_progress_bars=False)
    asked = {name: _needed(engine, expectation) for name, expectation in expectations.items()}
    needed = {name: needs for name, needs in asked.items() if needs}
    all_needs = {name: needs.get_metric_configurations() for name, needs in needed.items()}
    found = _metrics(calculator, [need for needs in all_needs.values() for need in needs])
    metrics = {name: _complete(needs, found) for name, needs in all_needs.items()}
    able = {name: known for name, known in metrics.items() if known is not None}
    try:
        values = _values(engine, {key: metric for known in able.values() for key, metric in known.items()}, days)
    except PySparkException:
        return {}
    judged = {name: _judge(engine, expectations[name], needed[name], values) for name in able}
    return {name: results for name, results in judged.items() if results}


def _needed(engine: "SparkDFExecutionEngine", expectation: "Expectation") -> "ValidationDependencies | None":
    """The metrics that an expectation judges by; None where it cannot tell."""
    from great_expectations.exceptions.exceptions import GreatExpectationsError

    try:
        return expectation.get_validation_dependencies(engine, _counts_only())
    except GreatExpectationsError:
        return None


def _complete(needs: "Sequence[MetricConfiguration]", found: Mapping[Any, _Metric]) -> dict[Any, _Metric] | None:
    """All metrics of an expectation by their id; None if one of them is not to be had by day."""
    if any(need.id not in found for need in needs):
        return None
    return {need.id: found[need.id] for need in needs}


def _metrics(calculator: "MetricsCalculator", needs: "Sequence[MetricConfiguration]") -> dict[Any, _Metric]:
    """Those of `needs` that are to be had by day, by their id, resolved at once: Spark is asked once for all."""
    from great_expectations.exceptions.exceptions import GreatExpectationsError

    metrics = {need.id: _Metric() for need in needs if need.metric_name.endswith(".unexpected_values")}
    wanted: dict[Any, MetricConfiguration] = {}
    for need in needs:
        if need.id not in metrics and need.id not in wanted:
            with suppress(GreatExpectationsError):
                if metric := _expression(calculator, need):
                    wanted[need.id] = metric
    resolved = _resolve(calculator, list(wanted.values()))
    for key, metric in wanted.items():
        if metric.id in resolved:
            value: Any = resolved[metric.id]
            of_schema = metric.metric_name in _OF_SCHEMA
            metrics[key] = _Metric(constant=value) if of_schema else _Metric(aggregate=value[0], domain=value[1])
    return metrics


def _expression(calculator: "MetricsCalculator", need: "MetricConfiguration") -> "MetricConfiguration | None":
    """The metric that is the Spark aggregate of `need`, or `need` of the schema; None where it takes values of rows."""
    from great_expectations.validator.metric_configuration import MetricConfiguration

    wanted = MetricConfiguration(
        need.metric_name if need.metric_name in _OF_SCHEMA else need.metric_name + _AGGREGATE,
        {**need.metric_domain_kwargs},
        {**need.metric_value_kwargs},
    )
    edges = calculator.build_metric_dependency_graph([wanted]).edges
    names = (metric.metric_name for edge in edges for metric in (edge.left, edge.right) if metric)
    return wanted if all(map(_is_same_on_every_day, names)) else None


def _resolve(calculator: "MetricsCalculator", wanted: "Sequence[MetricConfiguration]") -> dict[Any, Any]:
    """The values by id; what fails with the others is asked for by itself, and left out when it fails again."""
    together, _ = calculator.compute_metrics(list(wanted))
    values: dict[Any, Any] = dict(together)
    for metric in wanted:
        if metric.id not in values:
            values |= calculator.compute_metrics([metric])[0]
    return values


def _is_same_on_every_day(metric: str) -> bool:
    return metric in _OF_SCHEMA or metric == _ASKED_BY_ALL or metric.endswith(_EXPRESSIONS)


def _values(
    engine: "SparkDFExecutionEngine", metrics: Mapping[Any, _Metric], days: Sequence[str]
) -> dict[str, dict[Any, Any]]:
    """The values of all metrics by day and id, with one Spark aggregation for each domain."""
    from great_expectations.core.id_dict import IDDict

    values = {day: {key: metric.constant for key, metric in metrics.items()} for day in days}
    by_domain: dict[Any, dict[Any, _Metric]] = {}
    for key, metric in metrics.items():
        if metric.aggregate is not None:
            by_domain.setdefault(IDDict(metric.domain).to_id(), {})[key] = metric
    for aggregates in by_domain.values():
        for day, row in _rows(engine, list(aggregates.values()), days):
            values[day].update(zip(aggregates, row, strict=True))
    return values


def _rows(
    engine: "SparkDFExecutionEngine", metrics: Sequence[_Metric], days: Sequence[str]
) -> Iterable[tuple[str, list[Any]]]:
    """Each day with its values of `metrics`, all of one domain; a day without rows has those of an empty table."""
    from great_expectations.util import convert_to_json_serializable

    table = engine.get_domain_records(domain_kwargs=dict(metrics[0].domain))
    columns = [m.aggregate.alias(f"m{n}") for n, m in enumerate(metrics) if m.aggregate is not None]
    found = {str(row[0]): row[1:] for row in table.groupBy(PARTITION_COLUMN).agg(*columns).collect()}
    empty = table.limit(0).agg(*columns).collect()[0] if set(days) - set(found) else ()
    for day in days:
        yield day, [convert_to_json_serializable(value) for value in found.get(day, empty)]


def _judge(
    engine: "SparkDFExecutionEngine",
    expectation: "Expectation",
    needs: "ValidationDependencies",
    values: Mapping[str, dict[Any, Any]],
) -> "dict[str, ExpectationValidationResult]":
    """The result of each day; nothing where the values are not such as the expectation can judge."""
    from great_expectations.core import ExpectationValidationResult
    from great_expectations.exceptions.exceptions import GreatExpectationsError

    results = {}
    for day, metrics in values.items():
        given = {name: metrics[metric.id] for name, metric in needs.metric_configurations.items()}
        # What `metrics_validate` does once it has found out anew, which takes milliseconds a day, what is needed.
        try:
            result = expectation._validate(given, {"result_format": dict(needs.result_format)}, engine)
            results[day] = result if not isinstance(result, dict) else ExpectationValidationResult(**result)
        except (GreatExpectationsError, TypeError, ValueError):
            return {}
    return results


def _counts_only() -> dict[str, Any]:
    # A new one for each use: Great Expectations writes into it.
    return {"result_format": {"result_format": "BASIC", "partial_unexpected_count": 0}}
