"""The transformation of a feature table: a Python module or a Spark SQL query over its sources."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from inspect import signature
from typing import TYPE_CHECKING, Any

from dbx_jobs.contract import Days
from dbx_jobs.errors import DataError

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

    Keep = Callable[[DataFrame], DataFrame]


@dataclass(frozen=True)
class Transform:
    """`apply` maps the sources by name to the feature frame; `columns` may describe its columns.

    Rows of other days than those asked for are left out by the job: `apply` is told the days, so as not to compute
    more, and is given `keep`, which computes a frame once that is used several times. `columns` is the `COLUMNS` of a
    module: by name an object with `description`, `sources` (`<source>.<column>`) and, for online features,
    `expression` and `by`. `ask` computes rows that are asked about instead: see `dbx_jobs.jobs.online_features`.
    """

    apply: "Callable[[Mapping[str, DataFrame], Days, Keep], DataFrame]"
    ask: "Callable[[Mapping[str, DataFrame], Keep, DataFrame], DataFrame]"
    columns: Mapping[str, Any] = field(default_factory=dict)


def load_transform(spark: "SparkSession", declared: str) -> Transform:
    """The transformation that `declared` names: `python:<module>` or `sql:<text of the query>`; raises DataError.

    A module has a function `transform(sources)`, which may also take `days` and `keep` (see `Transform`).
    """
    kind, _, text = declared.partition(":")
    if kind == "sql" and text.strip():
        return Transform(lambda sources, _days, _keep: _query(spark, text, sources), _cannot_be_asked("a SQL query"))
    if kind != "python":
        raise DataError(f"transform {declared[:60]!r} is neither python:<module> nor sql:<query>")
    try:
        module = import_module(text)
    except ModuleNotFoundError as error:
        raise DataError(f"transform module {text!r} cannot be imported: {error}") from error
    if not callable(getattr(module, "transform", None)):
        raise DataError(f"transform module {text!r} has no function transform(sources)")
    return Transform(_called(module.transform), _asked(text, module.transform), getattr(module, "COLUMNS", {}))


def _called(transform: "Callable[..., DataFrame]") -> "Callable[[Mapping[str, DataFrame], Days, Keep], DataFrame]":
    taken = signature(transform).parameters

    def apply(sources: "Mapping[str, DataFrame]", days: Days, keep: "Keep") -> "DataFrame":
        given = {"days": days, "keep": keep}
        return transform(sources, **{name: value for name, value in given.items() if name in taken})

    return apply


def _asked(
    name: str, transform: "Callable[..., DataFrame]"
) -> "Callable[[Mapping[str, DataFrame], Keep, DataFrame], DataFrame]":
    taken = signature(transform).parameters
    if "asks" not in taken:
        return _cannot_be_asked(name)

    def ask(sources: "Mapping[str, DataFrame]", keep: "Keep", asks: "DataFrame") -> "DataFrame":
        return transform(sources, asks=asks, **({"keep": keep} if "keep" in taken else {}))

    return ask


def _cannot_be_asked(what: str) -> "Callable[..., DataFrame]":
    def ask(*_: Any) -> "DataFrame":
        raise DataError(
            f"features.online needs a transform(sources, asks) that computes the rows of asks; {what} is none"
        )

    return ask


def _query(spark: "SparkSession", text: str, sources: Mapping[str, "DataFrame"]) -> "DataFrame":
    """The query's result; each source is a temporary view of its name."""
    for name, frame in sources.items():
        frame.createOrReplaceTempView(name)
    return spark.sql(text)
