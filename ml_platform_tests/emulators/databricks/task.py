"""What the process of a task does, restricted as on Databricks: OUTCOME KIND PACKAGE ENTRY_POINT [PARAMETER...].

An exception is written to the file OUTCOME. KIND is serverless or new_cluster. `databricks.sdk.runtime` is there, with
the secrets alone of its dbutils.
"""

import json
import sys
import traceback
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.metadata import distribution
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

ABSENT = (
    *("azure", "dagster", "dagster_databricks", "databricks.sdk", "deltalake", "ml_platform", "mlflow", "obstore"),
    *("polars", "pysail"),
)
"""What is installed where the tests run, and not on Databricks nor by the task; of the SDK one module is shown."""

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


class IllegalArgumentException(Exception):
    """What a runtime says of a secret that is not there."""


def show_secrets(kept: dict[str, str]) -> None:
    """Have `dbutils.secrets` of a runtime: `kept` are the secrets by {{secrets/SCOPE/KEY}}."""

    def get(scope: str, key: str) -> str:
        if not any(name.startswith(f"{{{{secrets/{scope}/") for name in kept):
            raise IllegalArgumentException(f"Secret scope does not exist with name: {scope}")
        if (name := f"{{{{secrets/{scope}/{key}}}}}") not in kept:
            raise IllegalArgumentException(f"Secret does not exist with scope: {scope} and key: {key}")
        return kept[name]

    names = ("databricks", "databricks.sdk", "databricks.sdk.runtime")
    for name in names:
        module = sys.modules[name] = ModuleType(name)
        module.__path__ = []
    sys.modules[names[-1]].dbutils = SimpleNamespace(secrets=SimpleNamespace(get=get))  # type: ignore[attr-defined]


def main(secrets: dict[str, str], outcome: str, kind: str, package: str, entry_point: str, *parameters: str) -> int:
    forbid(*ABSENT)
    show_secrets(secrets)
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
