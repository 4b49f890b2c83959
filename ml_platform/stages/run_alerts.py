"""What of an ended run a person should know: refused files, failed ERROR checks, decisions, or just that it failed."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any

import dagster as dg
from dagster._core.definitions.data_version import DATA_VERSION_TAG
from dagster._core.events.log import EventLogEntry
from dagster._core.storage.tags import ROOT_RUN_ID_TAG, WILL_RETRY_TAG
from dagster_shared.error import SerializableErrorInfo

from ml_platform.errors import LakeError
from ml_platform.gateways.alerts import Alert
from ml_platform.stages.attempts import REFUSED

DECISION = "retrain_decision"
ENDPOINTS = "endpoints"
TOLD_VERDICTS = ("quarantine", "retrain")

SETTLED = timedelta(seconds=10)
"""Shorter than the overlap of two looks, so that what is not judged at one is at the next."""

REASON_TAG = "ml_platform/reason"

_WEIGHED = ("champion", "matured_labels", "next_allowed")
"""Entries of a decision that its alert repeats as evidence beside the reasons."""

_NAMED = 5
_READ = {
    dg.DagsterEventType.ASSET_CHECK_EVALUATION,
    dg.DagsterEventType.ASSET_OBSERVATION,
    dg.DagsterEventType.ASSET_MATERIALIZATION,
}
_READ_OF_A_FAILURE = _READ | {dg.DagsterEventType.STEP_FAILURE, dg.DagsterEventType.RUN_FAILURE}


def alerts_of(instance: dg.DagsterInstance, record: dg.RunRecord, ui: str) -> list[Alert]:
    """The alerts of an ended run. A failure that a refusal or a failed check explains is told by that alone."""
    run = record.dagster_run
    kinds = _READ_OF_A_FAILURE if run.status == dg.DagsterRunStatus.FAILURE else _READ
    events = [found.event_log_entry for found in instance.get_records_for_run(run.run_id, of_type=kinds).records]
    told = _Run(record, events, ui, instance.run_retries_enabled)
    return [*told.refusals(), *told.failed_checks(), *told.decisions(), *told.waiting(), *told.failure()]


def first_line(error: SerializableErrorInfo | None) -> str:
    """What was raised, in a line, without the errors that Dagster wraps around it."""
    while error and error.cause and (error.cls_name or "").startswith(("Dagster", "Sensor", "Schedule")):
        error = error.cause
    return next(iter((error.message if error else "").strip().splitlines()), "")


class _Run:
    """An ended run and what it recorded."""

    def __init__(self, record: dg.RunRecord, events: Sequence[EventLogEntry], ui: str, retries: bool) -> None:
        self.run, self.ui, self.retries = record.dagster_run, ui, retries
        self.events = [(e.dagster_event, e) for e in events if e.dagster_event]
        # A retry by Dagster fails as the first did: it is told once.
        self.root = self.run.tags.get(ROOT_RUN_ID_TAG, self.run.run_id)
        self.link = f"{ui}/runs/{self.run.run_id}"
        self.ended = datetime.fromtimestamp(record.end_time or record.update_timestamp.timestamp(), UTC)

    def refusals(self) -> Iterator[Alert]:
        """One alert a table of which partitions were refused."""
        by_table: dict[dg.AssetKey, dict[str, str]] = {}
        for key, partition, metadata in self._refused():
            by_table.setdefault(key, {})[partition] = metadata
        for key, reasons in by_table.items():
            name, days = key.to_user_string(), sorted(reasons)
            yield self._alert(
                "refused",
                f"refused:{name}:{self.root}",
                f"{name} refused {_few(days) or 'what landed'}",
                "What is downstream is held until the files are right; these partitions are as they were before.",
                "; ".join(dict.fromkeys(reasons[day] for day in days)),
                f"{self.ui}/assets/{name}?view=partitions" + (f"&partition={days[0]}" if days[0] else ""),
            )

    def failed_checks(self) -> Iterator[Alert]:
        """One alert a failed evaluation of severity ERROR."""
        for evaluation in self._failed_evaluations():
            name, partition = evaluation.asset_key.to_user_string(), getattr(evaluation, "partition", None)
            days = [partition] if partition else _days_of_table(evaluation.metadata) or self._days()
            yield self._alert(
                "failed check",
                f"check:{name}:{evaluation.check_name}:{partition or ''}:{self.root}",
                f"{name} failed the check {evaluation.check_name}" + (f" on {_few(days)}" if days else ""),
                "Partitions that failed an ERROR check hold what is downstream until they pass.",
                evaluation.description or _entries(evaluation.metadata),
                f"{self.ui}/assets/{name}?view=checks&checkDetail={evaluation.check_name}",
            )

    def decisions(self) -> Iterator[Alert]:
        """One alert a decision to quarantine or to retrain."""
        for event, _ in self._of(dg.DagsterEventType.ASSET_MATERIALIZATION):
            made = event.step_materialization_data.materialization
            facts = {name: _text(value) for name, value in made.metadata.items()}
            if made.asset_key.path[-1] != DECISION or facts.get("verdict") not in TOLD_VERDICTS:
                continue
            product = made.asset_key.path[-2]
            yield self._alert(
                "decision",
                f"decision:{product}:{_cause(facts) or self.root}",
                f"{product}: {facts['verdict']}" + (f" as of {facts['as_of']}" if "as_of" in facts else ""),
                _CONSEQUENCE[facts["verdict"]],
                "\n".join([facts.get("reasons", ""), *(f"{n}: {facts[n]}" for n in _WEIGHED if n in facts)]),
                f"{self.ui}/assets/{made.asset_key.to_user_string()}?view=events",
            )

    def waiting(self) -> Iterator[Alert]:
        """One alert a version whose roll-out waits for a person."""
        for event, _ in self._of(dg.DagsterEventType.ASSET_MATERIALIZATION):
            made = event.step_materialization_data.materialization
            facts = {name: _text(value) for name, value in made.metadata.items()}
            if made.asset_key.path[0] == ENDPOINTS and facts.get("rollout") == "waiting":
                product = made.asset_key.path[-1]
                yield self._alert(
                    "approval",
                    f"approval:{product}:{facts['champion']}",
                    f"{product}: version {facts['champion']} waits for approval",
                    f"Version {facts['version']} serves on; `ml-platform approve {product}` lets the new one answer.",
                    facts.get("seen", ""),
                    f"{self.ui}/assets/{made.asset_key.to_user_string()}?view=events",
                )

    def failure(self) -> Iterator[Alert]:
        """The alert of a failed run, unless it is tried again or every failure in it is told by another alert."""
        if self.run.status != dg.DagsterRunStatus.FAILURE or self._may_be_tried_again():
            return
        failed = {e.step_key or "": e.step_failure_data.error for e, _ in self._of(dg.DagsterEventType.STEP_FAILURE)}
        unexplained = {step: error for step, error in failed.items() if not self._explained(step, error)}
        if failed and not unexplained:
            return
        assets = [key.to_user_string() for key in sorted(self.run.asset_selection or ())]
        # A job of a sensor's or schedule's own selection has no name that says anything.
        nameless = self.run.job_name.startswith("__")
        what = _few(assets) or (_few(list(unexplained)) if nameless else "") or self.run.job_name
        errors = [f"{step}: {first_line(error)}" for step, error in unexplained.items()]
        yield self._alert(
            "failed run",
            f"run:{self.root}",
            f"{what} failed" + (f" for {_few(self._days())}" if self._days() else ""),
            f"Run {self.run.run_id} of {what} failed" + (f" in {_few(list(unexplained))}" if unexplained else ""),
            "; ".join(errors[:_NAMED]) or self._last_word(),
            self.link,
        )

    def _may_be_tried_again(self) -> bool:
        if WILL_RETRY_TAG in self.run.tags:
            return self.run.tags[WILL_RETRY_TAG] == "true"
        # Dagster writes the tag after the status: what has just failed is judged at the next look.
        return self.retries and datetime.now(UTC) - self.ended < SETTLED

    def _explained(self, step: str, error: SerializableErrorInfo | None) -> bool:
        names = _classes(error)
        checked = any(e.step_key == step for e in self._check_events())
        refused = any(e.step_key == step for e in self._refusal_events())
        return ("DagsterAssetCheckFailedError" in names and checked) or (LakeError.__name__ in names and refused)

    def _of(self, kind: dg.DagsterEventType) -> Iterator[tuple[dg.DagsterEvent, EventLogEntry]]:
        return ((event, entry) for event, entry in self.events if event.event_type == kind)

    def _check_events(self) -> list[dg.DagsterEvent]:
        found = (event for event, _ in self._of(dg.DagsterEventType.ASSET_CHECK_EVALUATION))
        return [event for event in found if _failed_error(event.asset_check_evaluation_data)]

    def _failed_evaluations(self) -> list[dg.AssetCheckEvaluation]:
        return [event.asset_check_evaluation_data for event in self._check_events()]

    def _refusal_events(self) -> list[dg.DagsterEvent]:
        found = (event for event, _ in self._of(dg.DagsterEventType.ASSET_OBSERVATION))
        return [e for e in found if _observed(e).tags.get(DATA_VERSION_TAG, "").endswith(" refused")]

    def _refused(self) -> Iterator[tuple[dg.AssetKey, str, str]]:
        for observation in map(_observed, self._refusal_events()):
            reason = observation.metadata.get(REFUSED)
            yield observation.asset_key, observation.partition or "", _text(reason) if reason else ""

    def _days(self) -> list[str]:
        tags = self.run.tags
        ends = (tags.get("dagster/asset_partition_range_start"), tags.get("dagster/asset_partition_range_end"))
        if ends[0] and ends[1]:
            return [ends[0] if ends[0] == ends[1] else f"{ends[0]} to {ends[1]}"]
        return [tags["dagster/partition"]] if "dagster/partition" in tags else []

    def _last_word(self) -> str:
        events = list(self._of(dg.DagsterEventType.RUN_FAILURE))
        return (events[-1][0].message or "") if events else ""

    def _alert(self, kind: Any, key: str, title: str, what: str, evidence: str, link: str) -> Alert:
        asked = self.run.tags.get(REASON_TAG)
        because = f"{evidence}\nThe run was asked for: {asked}" if asked else evidence
        return Alert(kind, key, title, what, because, link, self.ended)


_CONSEQUENCE = {
    "quarantine": "The data is broken: nothing is trained on it. Repair the source; the platform goes on by itself.",
    "retrain": "One run trains a candidate, and the gate decides whether it replaces the champion.",
}


def _cause(facts: Mapping[str, str]) -> str:
    """A decision to retrain is acted on by its id; broken data is decided on again whenever anything else changes."""
    if facts["verdict"] == "retrain":
        return facts.get("decision", "")
    return f"{facts.get('as_of')}:{sha256(facts.get('reasons', '').encode()).hexdigest()[:12]}"


def _failed_error(evaluation: dg.AssetCheckEvaluation) -> bool:
    return not evaluation.passed and evaluation.severity == dg.AssetCheckSeverity.ERROR


def _observed(event: dg.DagsterEvent) -> dg.AssetObservation:
    return event.asset_observation_data.asset_observation


def _classes(error: SerializableErrorInfo | None) -> set[str]:
    names: set[str] = set()
    while error:
        names.add(error.cls_name or "")
        error = error.cause
    return names


def _days_of_table(metadata: Mapping[str, dg.MetadataValue]) -> list[str]:
    table = metadata.get("evaluations")
    if not isinstance(table, dg.TableMetadataValue):
        return []
    days = (record.data for record in table.records)
    return [str(day["partition"]) for day in days if day.get("partition") and not day.get("passed")]


def _entries(metadata: Mapping[str, dg.MetadataValue]) -> str:
    shown = {name: value.value for name, value in metadata.items() if isinstance(value.value, str | int | float)}
    return ", ".join(f"{name}: {value}" for name, value in list(shown.items())[:_NAMED])


def _text(value: dg.MetadataValue) -> str:
    content: Any = value.value
    # Dagster's records are tuples as well, and refuse to be iterated.
    return "; ".join(map(str, content)) if type(content) in (list, tuple) else str(content)


def _few(items: Sequence[str]) -> str:
    return ", ".join(items[:_NAMED]) + (f" and {len(items) - _NAMED} more" if len(items) > _NAMED else "")
