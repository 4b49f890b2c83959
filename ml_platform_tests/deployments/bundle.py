"""The Databricks bundle: held against its published schema, each target's variables, references and volume."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema_rs
import yaml

REFERENCE = re.compile(r"\$\{([a-z][a-z_.]*)\}")
CLUSTER = "#/$defs/github.com/databricks/databricks-sdk-go/service/compute.ClusterSpec"


def problems(deployments: Path, specs: Path | None) -> Iterator[str]:
    """What is wrong with azure/databricks; without the schema only references and variables are looked at."""
    folder = deployments / "azure" / "databricks"
    bundle = yaml.safe_load((folder / "databricks.yml").read_text())
    cluster = yaml.safe_load((folder / "new-cluster.yaml").read_text())
    found = [("databricks.yml", problem) for problem in (*_variables(bundle), *_references(bundle))]
    if specs:
        schema = json.loads((specs / "databricks" / "bundle-schema.json").read_text())
        found += [("databricks.yml", problem) for problem in _violations(bundle, schema)]
        found += [
            ("new-cluster.yaml", problem)
            for problem in _violations(cluster, {"$defs": schema["$defs"], "$ref": CLUSTER})
        ]
    for file, problem in found:
        yield f"azure/databricks/{file}: {problem}"


def _violations(instance: Any, schema: dict[str, Any]) -> Iterator[str]:
    for error in jsonschema_rs.validator_for(schema).iter_errors(instance):
        cause = _cause(error)
        yield f"{'.'.join(map(str, cause.instance_path))}: {cause.message[:200]}"


def _cause(error: jsonschema_rs.ValidationError) -> jsonschema_rs.ValidationError:
    """The innermost reason: everything may be a reference instead, so that errors stand within alternatives."""
    alternatives = getattr(error.kind, "context", None) or []
    causes = [_cause(each) for alternative in alternatives for each in alternative]
    return max(causes, key=lambda cause: len(cause.instance_path), default=error)


def _variables(bundle: dict[str, Any]) -> Iterator[str]:
    declared = bundle.get("variables", {})
    for name, target in bundle.get("targets", {}).items():
        for variable in target.get("variables", {}).keys() - declared.keys():
            yield f"targets.{name}: there is no variable {variable}"
    used = {match.removeprefix("var.") for match in REFERENCE.findall(json.dumps(bundle)) if match.startswith("var.")}
    yield from (f"there is no variable {name}" for name in sorted(used - declared.keys()))
    yield from (f"nothing uses the variable {name}" for name in sorted(declared.keys() - used))


def _references(bundle: dict[str, Any]) -> Iterator[str]:
    for reference in sorted(set(REFERENCE.findall(json.dumps(bundle)))):
        if not reference.startswith("resources."):
            continue
        found: Any = bundle
        for name in reference.split("."):
            found = found.get(name) if isinstance(found, dict) else None
        if found is None:
            yield f"there is no {reference}"
