"""What Sail gets wrong without an error must not stand in a job."""

import ast
from pathlib import Path

import pytest

import dbx_jobs

FORBIDDEN_METHODS = {
    "rangeBetween": "range windows are null or 23 times slower on Sail: use the window sums in dbx_jobs.shapes",
    "approxQuantile": "not on Sail: use percentile_approx",
    "observe": "not on Sail",
    "persist": "does nothing on Sail: use materialized in dbx_jobs.runtime",
    "cache": "does nothing on Sail: use materialized in dbx_jobs.runtime",
    "checkpoint": "not on Sail",
    "writeTo": "not on Sail: write with format('delta').save",
    "saveAsTable": "not on Sail: write with format('delta').save",
    "toPandas": "ten times slower than a file through Spark Connect: hand tables over as files",
}
FORBIDDEN_TEXTS = {
    "partitionOverwriteMode": "dynamic overwrite wipes every other partition on Sail: use replaceWhere",
    "txnAppId": "ignored on Sail: the rows come twice",
    "txnVersion": "ignored on Sail: the rows come twice",
    "_metadata": "not on Sail: read each file by itself",
}


# `materialized` itself: it persists on a cluster only.
ALLOWED = {"runtime.py": {"persist"}}


def violations(source: str, allowed: frozenset[str] | set[str] = frozenset()) -> list[str]:
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Attribute) and node.attr in FORBIDDEN_METHODS.keys() - allowed:
            found.append(f"line {node.lineno}: {node.attr}: {FORBIDDEN_METHODS[node.attr]}")
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value in FORBIDDEN_TEXTS:
            found.append(f"line {node.lineno}: {node.value}: {FORBIDDEN_TEXTS[node.value]}")
        if (
            isinstance(node, ast.Call)
            and _name(node) == "lag"
            and any(isinstance(a, ast.Call) and _name(a) == "struct" for a in node.args)
        ):
            found.append(f"line {node.lineno}: lagged structs are never null inside CASE on Sail: lag flat columns")
    return found


def _name(call: ast.Call) -> str:
    return call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")


def test_no_job_uses_what_sail_gets_wrong_without_an_error():
    files = sorted(Path(dbx_jobs.__file__).parent.rglob("*.py"))
    assert len(files) > 10
    assert {
        str(file): found for file in files if (found := violations(file.read_text(), ALLOWED.get(file.name, set())))
    } == {}


@pytest.mark.parametrize(
    "line",
    [
        "w.rangeBetween(-5, 0)",
        "df.persist()",
        'spark.conf.set("partitionOverwriteMode", "dynamic")',
        "df.cache()",
        "F.lag(F.struct('a')).over(w)",
    ],
)
def test_the_lint_finds_a_planted_violation(line):
    assert violations(line)
