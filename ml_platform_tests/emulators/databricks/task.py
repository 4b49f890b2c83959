"""What the process of a task does, restricted as on Databricks: OUTCOME KIND PACKAGE ENTRY_POINT [PARAMETER...].

An exception is written to the file OUTCOME. KIND is serverless or new_cluster.
"""

import json
import sys
import traceback
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

ABSENT = (
    *("azure", "dagster", "dagster_databricks", "databricks.sdk", "deltalake", "ml_platform", "mlflow", "obstore"),
    *("polars", "pysail"),
)
"""What is installed where the tests run, and not on Databricks nor by the task."""

SETTABLE = {
    "spark.databricks.execution.timeout",
    "spark.sql.ansi.enabled",
    "spark.sql.files.maxPartitionBytes",
    "spark.sql.legacy.timeParserPolicy",
    "spark.sql.session.timeZone",
    "spark.sql.shuffle.partitions",
}
"""The properties that serverless compute lets a program set (docs: "Configure Spark properties for serverless")."""


class _Forbidden(MetaPathFinder):
    def __init__(self, names: tuple[str, ...]) -> None:
        self._names = names

    def find_spec(self, fullname: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        if any(fullname == name or fullname.startswith(f"{name}.") for name in self._names):
            raise ModuleNotFoundError(f"No module named {fullname!r}", name=fullname)
        return None


def forbid(*names: str) -> None:
    """From now on these modules are not there."""
    sys.meta_path.insert(0, _Forbidden(names))


def as_serverless() -> None:
    """Have PySpark refuse what serverless compute refuses."""
    from pyspark.errors import AnalysisException
    from pyspark.sql.connect.conf import RuntimeConf
    from pyspark.sql.connect.dataframe import DataFrame

    def persist(self: Any, *_: Any, **__: Any) -> Any:
        raise AnalysisException("[NOT_SUPPORTED_WITH_SERVERLESS] PERSIST TABLE is not supported on serverless compute.")

    change = RuntimeConf.set

    def set_some(self: Any, key: str, value: Any) -> None:
        if key not in SETTABLE:
            raise AnalysisException(f"[CONFIG_NOT_AVAILABLE] Configuration {key} is not available.")
        change(self, key, value)

    DataFrame.persist = DataFrame.cache = persist  # type: ignore[method-assign]
    RuntimeConf.set = set_some  # type: ignore[method-assign]


def main(outcome: str, kind: str, package: str, entry_point: str, *parameters: str) -> int:
    forbid(*ABSENT)
    if kind == "serverless":
        as_serverless()
    sys.argv = [package, *parameters]
    try:
        (entry,) = distribution(package).entry_points.select(name=entry_point)
        entry.load()()
    except Exception as error:
        told = {"error": f"{type(error).__name__}: {error}", "error_trace": traceback.format_exc()}
        Path(outcome).write_text(json.dumps(told))
        return 1
    return 0
