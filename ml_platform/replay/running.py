"""Makes the runs that sensors and schedules ask for, in this process, side by side where none needs another."""

import importlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import dagster as dg
from dagster import _check as check
from dagster._core.definitions.assets.graph.base_asset_graph import BaseAssetGraph
from dagster._core.definitions.repository_definition import RepositoryDefinition
from dagster._core.errors import DagsterExecutionInterruptedError
from dagster._core.storage.noop_compute_log_manager import NoOpComputeLogManager
from dagster._core.storage.tags import RUN_KEY_TAG

from ml_platform.gateways.run_launcher import PROCESS_TAG
from ml_platform.processes import identity
from ml_platform.runs import RANGE_TAGS

IMPLICIT_JOB = "__ASSET_JOB"
AT_ONCE = 2
"""Runs that are made at the same time, where nobody captures what they print."""

QUIET: dict[str, Any] = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


@dataclass(frozen=True)
class Asked:
    """A run that is asked for. `origin` are the tags that say by which sensor or schedule."""

    by: str
    request: dg.RunRequest
    job: str
    origin: Mapping[str, str]

    @property
    def assets(self) -> frozenset[dg.AssetKey]:
        """The assets that are selected; none is the whole job."""
        return frozenset(self.request.asset_selection or ())


@dataclass(frozen=True)
class Made:
    """A run that was made because a sensor or a schedule asked for it."""

    asked_by: str
    run_id: str
    assets: tuple[str, ...]
    """Empty for a whole job."""
    job: str
    partitions: str
    tags: Mapping[str, str]
    success: bool
    seconds: float

    def __str__(self) -> str:
        what = ", ".join(self.assets) or self.job
        return f"{self.asked_by} asked for {what} {self.partitions}".rstrip() + ("" if self.success else " (failed)")


class Runs:
    """Makes runs on one instance and tells each as it ends."""

    def __init__(
        self, instance: dg.DagsterInstance, repository: RepositoryDefinition, tell: Callable[[Made], None]
    ) -> None:
        self.seconds = 0.0
        """The time in which runs were under way."""
        self._instance, self._repository, self._tell = instance, repository, tell
        self._keys_used: set[tuple[str, str]] = set()
        self._identity = identity()
        self._at_once = _prints_freely(instance)
        _configure_logging(instance)

    def make(self, asked: Sequence[Asked]) -> list[Made]:
        """Make what is asked for and was not made before; what failed is recorded as failed.

        Those that follow one another and do not need each other are made at the same time, AT_ONCE of them. Raises
        KeyboardInterrupt when the process is told to end: what was under way counts as not made.
        """
        made: list[Made] = []
        parts = [part for each in asked for part in self._parts(each)]
        for together in self._together(parts):
            started = time.monotonic()
            ended = self._make_one(together[0]) if len(together) == 1 else self._make_together(together)
            self.seconds += time.monotonic() - started
            for each in ended:
                self._tell(each)
            made += ended
        return made

    def _together(self, parts: Sequence[Asked]) -> Iterator[Sequence[Asked]]:
        return _independent(parts, self._repository.asset_graph) if self._at_once else ([part] for part in parts)

    def _make_one(self, asked: Asked) -> list[Made]:
        return [] if self._was_made(asked) else [self._run(asked)]

    def _make_together(self, asked: Sequence[Asked]) -> list[Made]:
        with ThreadPoolExecutor(AT_ONCE) as threads:
            futures = [threads.submit(self._make_one, each) for each in asked]
            try:
                wait(futures)
            except KeyboardInterrupt:
                # Dagster hears of signals in the main thread only: what fails now is no failure of its own.
                ended = [future.result() for future in futures if not future.exception()]
                for made in (made for each in ended for made in each if not made.success):
                    self._instance.report_run_canceled(check.not_none(self._instance.get_run_by_id(made.run_id)))
                raise
        return [made for future in futures for made in future.result()]

    def _parts(self, asked: Asked) -> list[Asked]:
        if not asked.request.requires_backfill_daemon():
            return [asked]
        requests = _ranged(asked.request, self._repository)
        return [Asked(asked.by, request, asked.job, asked.origin) for request in requests]

    def _was_made(self, asked: Asked) -> bool:
        """Whether a run of this key exists, as the daemon asks; one that was interrupted or killed does not count."""
        key = asked.request.run_key
        if not key:
            return False
        if (asked.by, key) in self._keys_used:
            return True
        self._keys_used.add((asked.by, key))
        names = {name: value for name, value in asked.origin.items() if name.endswith("_name")}
        runs = self._instance.get_runs(dg.RunsFilter(tags={RUN_KEY_TAG: key}))
        return any(run.tags.items() >= names.items() and not self._was_cut(run) for run in runs)

    def _was_cut(self, run: dg.DagsterRun) -> bool:
        if run.status != dg.DagsterRunStatus.FAILURE:
            return run.status == dg.DagsterRunStatus.CANCELED
        records = self._instance.get_records_for_run(run.run_id, of_type=dg.DagsterEventType.STEP_FAILURE).records
        events = [record.event_log_entry.dagster_event for record in records]
        return not events or _interrupted(events)

    def _run(self, asked: Asked) -> Made:
        request = asked.request
        tags = {**request.tags, **asked.origin, PROCESS_TAG: self._identity}
        if request.run_key:
            tags[RUN_KEY_TAG] = request.run_key
        job = self._repository.get_job(asked.job)
        whole = request.asset_check_keys is not None or request.asset_selection is None
        if request.asset_check_keys is not None:
            checks = frozenset(request.asset_check_keys)
            job = job.get_subset(asset_selection=asked.assets, asset_check_selection=checks)
        started = time.monotonic()
        result = job.execute_in_process(
            run_config=QUIET | dict(request.run_config),
            instance=self._instance,
            asset_selection=None if whole else list(asked.assets),
            tags=tags,
            raise_on_error=False,
        )
        if _interrupted(result.get_step_failure_events()):
            # Dagster records Ctrl-C and SIGTERM as a failure of the step and goes on.
            raise KeyboardInterrupt
        return Made(
            asked_by=asked.by,
            run_id=result.run_id,
            assets=tuple(sorted(key.to_user_string() for key in asked.assets)),
            job=asked.job,
            partitions=request.partition_key or _range(tags),
            tags=tags,
            success=result.success,
            seconds=time.monotonic() - started,
        )


def _prints_freely(instance: dg.DagsterInstance) -> bool:
    """Whether steps print where this process does. To capture it, Dagster turns the streams of the whole process.

    Two steps at once would take each other's.
    """
    return isinstance(instance.compute_log_manager, NoOpComputeLogManager)


def _configure_logging(instance: dg.DagsterInstance) -> None:
    """Configure Python's logging once, ahead of all runs, where Dagster does it in each and MLflow when it is imported.

    It waits for every handler while it holds logging's own lock: a deadlock with the run of another thread, whose
    handler is storing an event and asks for a logger (Dagster 1.13.27).
    """
    importlib.import_module("mlflow")
    handlers = instance.get_yaml_python_handlers()
    instance.get_yaml_python_handlers = lambda: handlers


def _independent(asked: Sequence[Asked], graph: BaseAssetGraph) -> Iterator[list[Asked]]:
    """The requests in their order, those together that follow one another, and of which none reads another's assets."""

    def near(each: Asked) -> frozenset[dg.AssetKey]:
        return each.assets.union(*map(graph.get_ancestor_asset_keys, each.assets))

    together: list[Asked] = []
    for each in asked:
        apart = all(not near(each) & other.assets and not near(other) & each.assets for other in together)
        if together and not (apart and each.assets and together[0].assets):
            yield together
            together = []
        together.append(each)
    if together:
        yield together


def _interrupted(failures: Sequence[dg.DagsterEvent | None]) -> bool:
    errors = [event.step_failure_data.error for event in failures if event]
    return any(error and error.cls_name == DagsterExecutionInterruptedError.__name__ for error in errors)


def _range(tags: Mapping[str, str]) -> str:
    ends = [tags[name] for name in RANGE_TAGS if name in tags] or [tags.get("dagster/partition", "")]
    return " to ".join(dict.fromkeys(ends))


def _ranged(request: dg.RunRequest, repository: RepositoryDefinition) -> Iterator[dg.RunRequest]:
    """What the daemon would make a backfill of: parents first, one run for each range of days without a gap."""
    graph, subset = repository.asset_graph, request.asset_graph_subset
    assert subset is not None
    for key in graph.toposorted_asset_keys:
        if key not in subset.asset_keys:
            continue
        definition = graph.get(key).partitions_def
        if definition is None:
            yield dg.RunRequest(asset_selection=[key], tags=request.tags, run_config=request.run_config)
            continue
        wanted = set(subset.partitions_subsets_by_asset_key[key].get_partition_keys())
        every = definition.get_partition_keys()
        for is_wanted, group in groupby(every, key=wanted.__contains__):
            if is_wanted:
                ends = list(group)
                tags = {**request.tags, **dict(zip(RANGE_TAGS, (ends[0], ends[-1]), strict=True))}
                yield dg.RunRequest(asset_selection=[key], tags=tags, run_config=request.run_config)
