"""Reads a product's expectation file and refuses what Great Expectations would not know."""

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

from dagster._utils.pydantic_yaml import parse_yaml_file_to_pydantic

from dbx_jobs.contract import Expectation
from ml_platform.core.expectations import ExpectationFile
from ml_platform.errors import SpecError


def load_expectations(path: Path, tables: set[str]) -> Mapping[str, list[Expectation]]:
    """Expectations by table (`lake/flights`). A missing file means none.

    Raises SpecError that names the file and what is allowed, or pydantic's error with the line, for a wrong entry.
    """
    if not path.exists():
        return {}
    declared = parse_yaml_file_to_pydantic(ExpectationFile, path.read_text(), str(path)).tables
    _refuse_unknown(path, "table", set(declared), tables)
    _refuse_unknown(path, "expectation", {spec.expect for specs in declared.values() for spec in specs}, _known_types())
    for table, specs in declared.items():
        names = [spec.name for spec in specs]
        if repeated := {name for name in names if names.count(name) > 1}:
            raise SpecError(
                f"{path}: {table} has more than one expectation named {sorted(repeated)}; give each its own"
            )
    return {
        table: [Expectation(s.name, s.expect, s.kwargs, s.severity, s.description) for s in specs]
        for table, specs in declared.items()
    }


def _refuse_unknown(path: Path, kind: str, used: set[str], known: set[str]) -> None:
    if unknown := sorted(used - known):
        raise SpecError(f"{path}: unknown {kind} {unknown}; allowed: {', '.join(sorted(known))}")


def _known_types() -> set[str]:
    # From the package's file names: importing Great Expectations takes seconds, and the location must load in three.
    spec = find_spec("great_expectations")
    if spec is None or not spec.submodule_search_locations:
        raise SpecError("great_expectations is not installed: pip install great-expectations")
    core = Path(spec.submodule_search_locations[0], "expectations", "core")
    return {file.stem for file in core.glob("expect_*.py")}
