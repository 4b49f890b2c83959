"""What the images install is what the programs in them need."""

import ast
import tomllib
from importlib.metadata import packages_distributions, requires
from pathlib import Path

from packaging.requirements import Requirement

from ml_platform.gateways.jobs.databricks.wheel import SOURCES, requirements
from ml_platform.settings import PROJECT_ROOT

IMAGES = PROJECT_ROOT / "deployments" / "azure" / "images"
LAKE = {"azure-identity", "azure-storage-blob", "redis-entraid"}


def listed() -> set[str]:
    lines = (IMAGES / "scoring.txt").read_text().splitlines()
    return {line for line in lines if line and not line.startswith("#")}


def test_the_scoring_image_installs_the_extras_of_the_scoring_server():
    extras = tomllib.loads((PROJECT_ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    named = {Requirement(each).name for extra in ("scoring", "redis", "tracing") for each in extras[extra]}
    assert listed() == named | LAKE


def test_the_scoring_image_installs_all_that_the_scoring_server_imports():
    present = closure(listed())
    distributions = packages_distributions()
    files = (PROJECT_ROOT / "ml_platform" / "scoring").glob("*.py")
    # A model of MLflow's own kind is served by MLflow, not by the image.
    for path in (path for path in files if path.name != "pyfunc.py"):
        for module in imported(path):
            found = {name.lower().replace("_", "-") for name in distributions.get(module, [])}
            assert not found or found & present, f"{path.name} imports {module}, which the image has not"


def test_what_the_spark_programs_import_is_installed_beside_their_wheel_or_brought_by_databricks():
    present, distributions = closure({Requirement(each).name for each in requirements()}), packages_distributions()
    brought = closure({"databricks-sdk", "pandas", "pyarrow", "pyspark"})
    for path in SOURCES.rglob("*.py"):
        for module in imported(path) - {"pysail", "deltalake", "obstore"}:  # those run where Sail does
            found = {name.lower().replace("_", "-") for name in distributions.get(module, [])}
            assert not found or found & (present | brought), f"{path.name} imports {module}, which no run has"


def imported(path: Path) -> set[str]:
    """The top modules that a file imports."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
    return {name.partition(".")[0] for name in names} - {"ml_platform", "dbx_jobs"}


def closure(names: set[str]) -> set[str]:
    """Distributions, with what they require."""
    found: set[str] = set()
    waiting = list(names)
    while waiting:
        name = waiting.pop().lower().replace("_", "-")
        if name in found:
            continue
        found.add(name)
        needed = [Requirement(each) for each in requires(name) or []]
        waiting += [each.name for each in needed if not each.marker or each.marker.evaluate({"extra": ""})]
    return found
