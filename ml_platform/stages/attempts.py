"""What the last attempt at each partition read and how it ended: an observation beside the materialisation."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast

import dagster as dg
from dagster._core.definitions.data_version import DATA_VERSION_TAG

Outcome = Literal["passed", "failed", "refused"]

WHOLE = ""
"""The partition of a table without partitions."""

FAILED_CHECKS, REFUSED = "failed_checks", "refused"
"""Metadata of an attempt: the names of the ERROR checks that the partition failed, and why it was refused."""

_REASONS_READ = 20


@dataclass(frozen=True)
class Attempt:
    """The digest of what was read, and the end: checks passed, ERROR checks failed, or refused and left as it was."""

    inputs: str
    outcome: Outcome


class Records:
    """What is on record of each table, looked up once: all that is judged in one look sees the same."""

    def __init__(self, instance: dg.DagsterInstance) -> None:
        self.instance = instance
        self._contents: dict[dg.AssetKey, dict[str, str]] = {}
        self._attempts: dict[dg.AssetKey, dict[str, Attempt]] = {}

    def contents(self, key: dg.AssetKey, daily: bool = True) -> dict[str, str]:
        """The version of the content of each partition that was materialised."""
        if key not in self._contents:
            self._contents[key] = contents(self.instance, key, None if daily else [WHOLE])
        return self._contents[key]

    def attempts(self, key: dg.AssetKey, daily: bool = True) -> dict[str, Attempt]:
        """The last attempt at each partition."""
        if key not in self._attempts:
            self._attempts[key] = attempts(self.instance, key, None if daily else [WHOLE])
        return self._attempts[key]


def record(
    context: dg.AssetExecutionContext, key: dg.AssetKey, partition: str, attempt: Attempt, metadata: Mapping[str, Any]
) -> None:
    """Say how an attempt at a partition ended. Said last: a process killed before it leaves the partition stale."""
    # The data version is the one tag of an event that Dagster can look up for all partitions in one query.
    version = f"{attempt.inputs} {attempt.outcome}"
    context.log_event(
        dg.AssetObservation(key, partition=partition or None, metadata=metadata, tags={DATA_VERSION_TAG: version})
    )


def attempts(
    instance: dg.DagsterInstance, key: dg.AssetKey, partitions: Sequence[str] | None = None
) -> dict[str, Attempt]:
    """The last attempt at each partition (None: at all that were tried)."""
    return {
        partition: Attempt(inputs, cast(Outcome, outcome))
        for partition, version in _versions(instance, key, dg.DagsterEventType.ASSET_OBSERVATION, partitions).items()
        for inputs, outcome in [version.split(" ", 1)]
    }


def contents(instance: dg.DagsterInstance, key: dg.AssetKey, partitions: Sequence[str] | None = None) -> dict[str, str]:
    """The version of the content of each partition that was materialised."""
    return _versions(instance, key, dg.DagsterEventType.ASSET_MATERIALIZATION, partitions)


def last_attempt_id(instance: dg.DagsterInstance, key: dg.AssetKey, partitions: Iterable[str]) -> int:
    """The number of the newest attempt at any of `partitions` in the event log; 0 without one."""
    wanted = set(partitions)
    if wanted == {WHOLE}:
        found = instance.fetch_observations(key, limit=1).records
        return found[0].storage_id if found else 0
    ids = instance.event_log_storage.get_latest_storage_id_by_partition(
        key, dg.DagsterEventType.ASSET_OBSERVATION, wanted
    )
    return max(ids.values(), default=0)


def reasons(instance: dg.DagsterInstance, key: dg.AssetKey, partitions: Sequence[str]) -> dict[str, str]:
    """Why the last attempt at each of `partitions` (the first few) did not pass, in a few words."""
    found: dict[str, str] = {}
    for partition in partitions[:_REASONS_READ]:
        wanted = dg.AssetRecordsFilter(asset_key=key, asset_partitions=[partition] if partition else None)
        records = instance.fetch_observations(wanted, limit=1).records
        observation = records[0].asset_observation if records else None
        if observation:
            refused, failed = (observation.metadata.get(name) for name in (REFUSED, FAILED_CHECKS))
            found[partition] = (
                f"was refused: {refused.value}" if refused else f"failed {failed.value}" if failed else ""
            )
    return found


def _versions(
    instance: dg.DagsterInstance, key: dg.AssetKey, kind: dg.DagsterEventType, partitions: Sequence[str] | None
) -> dict[str, str]:
    if partitions is not None and list(partitions) == [WHOLE]:
        return _version_of_whole(instance, key, kind)
    tags = instance.event_log_storage.get_latest_tags_by_partition(key, kind, [DATA_VERSION_TAG], partitions)
    return {partition: found[DATA_VERSION_TAG] for partition, found in tags.items()}


def _version_of_whole(instance: dg.DagsterInstance, key: dg.AssetKey, kind: dg.DagsterEventType) -> dict[str, str]:
    if kind == dg.DagsterEventType.ASSET_MATERIALIZATION:
        event = instance.get_latest_materialization_event(key)
        found = event.asset_materialization if event else None
    else:
        records = instance.fetch_observations(key, limit=1).records
        found = records[0].asset_observation if records else None
    version = (found.tags or {}).get(DATA_VERSION_TAG) if found else None
    return {WHOLE: version} if version else {}
