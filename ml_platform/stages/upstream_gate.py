"""The gate across runs: nothing is computed from a partition that is missing or whose ERROR checks failed."""

from collections.abc import Iterable, Sequence

import dagster as dg

from ml_platform.errors import GateError

FAILED_CHECKS = "failed_checks"
"""Metadata entry of a materialisation: the names of the ERROR checks that it failed. Absent when it passed."""

_PAGE = 1000


def require_partitions(instance: dg.DagsterInstance, key: dg.AssetKey, partitions: Sequence[str]) -> None:
    """Raise GateError unless each of `partitions` of `key` is materialised and passed its ERROR checks."""
    latest = _latest(instance, dg.AssetRecordsFilter(asset_key=key, asset_partitions=list(partitions)), len(partitions))
    _refuse(key, [p for p in partitions if p not in latest], {p: latest[p] for p in partitions if p in latest})


def refuse_failed(instance: dg.DagsterInstance, key: dg.AssetKey, partitions: Sequence[str]) -> None:
    """Raise GateError when one of `partitions` of `key` failed its ERROR checks; one that is missing is no obstacle."""
    done = instance.get_materialized_partitions(key)
    require_partitions(instance, key, [partition for partition in partitions if partition in done])


def require_table(instance: dg.DagsterInstance, key: dg.AssetKey) -> None:
    """Raise GateError unless the unpartitioned `key` is materialised and passed its ERROR checks."""
    event = instance.get_latest_materialization_event(key)
    if event is None or event.asset_materialization is None:
        raise GateError(f"{key.to_user_string()} was never materialised: materialise it first")
    _refuse(key, [], {"": event.asset_materialization})


def _latest(
    instance: dg.DagsterInstance, records_filter: dg.AssetRecordsFilter, wanted: int
) -> dict[str, dg.AssetMaterialization]:
    latest: dict[str, dg.AssetMaterialization] = {}
    cursor: str | None = None
    while len(latest) < wanted:
        page = instance.fetch_materializations(records_filter, limit=_PAGE, cursor=cursor)
        for record in page.records:
            if record.partition_key and record.asset_materialization:
                latest.setdefault(record.partition_key, record.asset_materialization)
        if not page.has_more:
            break
        cursor = page.cursor
    return latest


def _refuse(key: dg.AssetKey, missing: Iterable[str], found: dict[str, dg.AssetMaterialization]) -> None:
    name = key.to_user_string()
    if missing := list(missing):
        raise GateError(f"{name} has no partition {_few(missing)}: materialise it first")
    failed = {p: m.metadata[FAILED_CHECKS].value for p, m in found.items() if FAILED_CHECKS in m.metadata}
    if failed:
        reasons = [f"{partition} {checks}".strip() for partition, checks in failed.items()]
        raise GateError(f"{name} failed ERROR checks: {_few(reasons)}. Repair its input and materialise it again")


def _few(items: list[str]) -> str:
    return ", ".join(items[:5]) + (f" and {len(items) - 5} more" if len(items) > 5 else "")
