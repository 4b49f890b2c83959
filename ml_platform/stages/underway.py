"""Which partitions of an asset a run that has not ended is about to make."""

from collections.abc import Mapping

import dagster as dg
from dagster._core.storage.dagster_run import NOT_FINISHED_STATUSES

from ml_platform.stages.attempts import WHOLE
from ml_platform.stages.partitions import RANGE_END, RANGE_START, day_range

PARTITION = "dagster/partition"


def underway(instance: dg.DagsterInstance) -> dict[dg.AssetKey, set[str]]:
    """By asset: the partitions ("" for one without) that queued and running runs target."""
    found: dict[dg.AssetKey, set[str]] = {}
    for run in instance.get_runs(dg.RunsFilter(statuses=list(NOT_FINISHED_STATUSES))):
        partitions = _partitions(run.tags)
        for key in run.asset_selection or ():
            found.setdefault(key, set()).update(partitions)
    return found


def _partitions(tags: Mapping[str, str]) -> list[str]:
    if RANGE_START in tags and RANGE_END in tags:
        return day_range(tags[RANGE_START], tags[RANGE_END])
    return [tags.get(PARTITION, WHOLE)]
