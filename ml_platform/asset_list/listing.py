"""All that is declared of each asset, as canonical JSON: equal declarations give equal bytes in every process."""

import json
import re
from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Any

import dagster as dg
from dagster._core.definitions.assets.graph.asset_graph import AssetGraph

from dbx_jobs.contract import Expectation
from ml_platform.asset_checks.products import Declared
from ml_platform.asset_list.code import transform_digest

Entry = dict[str, Any]

ADDRESS = re.compile(r" at 0x[0-9a-f]+")


def list_assets(definitions: dg.Definitions, products: Sequence[Declared]) -> dict[str, Entry]:
    """By asset: place in the graph, partitions, automation, checks, declaration and the digest of its code."""
    graph = definitions.resolve_asset_graph()
    by_name = {each.product.name: each for each in products}
    return {
        spec.key.to_user_string(): _entry(graph, spec, by_name.get(spec.tags.get("product", "")))
        for spec in sorted(definitions.resolve_all_asset_specs(), key=lambda spec: spec.key.to_user_string())
    }


def as_json(assets: Mapping[str, Entry]) -> str:
    """The list as a file: keys in order, one value a line."""
    return json.dumps(assets, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def _entry(graph: AssetGraph, spec: dg.AssetSpec, declared: Declared | None) -> Entry:
    asset, policy = spec.key.to_user_string(), graph.get(spec.key).backfill_policy
    return {
        "group": spec.group_name,
        "kinds": sorted(spec.kinds),
        "owners": list(spec.owners),
        "tags": {name: value for name, value in spec.tags.items() if not name.startswith("dagster/kind/")},
        "deps": {dep.asset_key.to_user_string(): _text(dep.partition_mapping) for dep in spec.deps},
        "partitions": _partitions(spec.partitions_def),
        "backfill": policy.policy_type.value if policy else None,
        "automation": _automation(spec.automation_condition),
        "checks": _checks(graph, spec.key, declared.expectations.get(asset, ()) if declared else ()),
        "declaration": _declaration(spec.key.path, declared) if declared else {},
    }


def _partitions(partitions: dg.PartitionsDefinition | None) -> Any:
    if not isinstance(partitions, dg.TimeWindowPartitionsDefinition):
        return _text(partitions)
    end = partitions.end
    return {
        "start": partitions.start.isoformat(),
        "end": end.isoformat() if end else None,
        "cron": partitions.cron_schedule,
        "timezone": partitions.timezone,
    }


def _automation(condition: dg.AutomationCondition | None) -> Any:
    """The condition's label, and a digest of all of it: the whole is too long to read in a difference."""
    if condition is None:
        return None
    text = _text(condition) or ""
    return {"label": condition.get_label(), "digest": sha256(text.encode()).hexdigest()[:12]}


def _checks(graph: AssetGraph, key: dg.AssetKey, expectations: Sequence[Expectation]) -> dict[str, Entry]:
    declared = {e.name: {"expect": e.type, "kwargs": e.kwargs, "severity": e.severity} for e in expectations}
    nodes = {check.name: graph.get(check) for check in graph.get(key).check_keys}
    return {
        name: {"blocking": node.blocking, "description": node.description} | declared.get(name, {})
        for name, node in nodes.items()
    }


def _declaration(path: Sequence[str], declared: Declared) -> Entry:
    """The part of the product's YAML that this asset is made of, and of a feature table the digest of its code."""
    product = declared.product
    match path[0]:
        case "lake":
            part: Any = product.sources[path[-1]]
        case "features":
            code = transform_digest(product.features.transform, declared.folder)
            return product.features.model_dump(mode="json") | {"code": code}
        case "models":
            part = product.model
        case "endpoints":
            part = product.endpoint
        case "monitoring":
            part = product.retraining if "retrain" in path[-1] else product.monitors
        case _:
            return {}
    return part.model_dump(mode="json")


def _text(value: Any) -> str | None:
    # Without addresses of objects, which differ between processes.
    return None if value is None else ADDRESS.sub("", str(value))
