"""Triage, then retraining: observations of a day and a policy give a decision that says why.

The decision is a function of its arguments alone; `dbx_jobs.contract.to_dict` and `from_dict` store and restore both.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any, Literal

from ml_platform.core.decay import decayed, drifted, share, windows
from ml_platform.core.observations import Champion, Observations
from ml_platform.core.product import RetrainingSpec
from ml_platform.core.signals import Signal
from ml_platform.core.triage import broken

Verdict = Literal["wait", "record", "quarantine", "retrain"]
Hold = Literal["doubt", "labels", "review", "cooldown", "budget"]


@dataclass(frozen=True)
class Decision:
    """What is to be done, why, and from what.

    `quarantine`: the data is broken, a person must look. `retrain`: train a candidate now. `record`: harmless drift.
    `wait`: nothing to see, or a signal that is held by `held_by`. `next_allowed` is the first day on which a signal
    could retrain as things stand; None: not at all.
    """

    product: str
    day: str
    verdict: Verdict
    reasons: list[str]
    signals: list[Signal] = field(default_factory=list)
    held_by: list[Hold] = field(default_factory=list)
    matured_labels: int = 0
    next_allowed: str | None = None
    champion_version: str | None = None
    policy: dict[str, Any] = field(default_factory=dict)

    @property
    def broken_columns(self) -> list[str]:
        """The columns found broken, for the history of later decisions."""
        return sorted({signal.name for signal in self.signals if signal.kind == "fault" and signal.column})


def decide(seen: Observations, policy: RetrainingSpec) -> Decision:
    """Judge what was seen of `seen.as_of`. Broken data quarantines whatever else was seen, and never retrains."""
    troubles = broken(seen, policy)
    champion = seen.champion
    if champion is None:
        return _decision(seen, policy, troubles, *_untrained(troubles))
    before, now = windows(seen, policy)
    decay = decayed(before, now, policy)
    drift = drifted(champion, seen.drift, before, now, policy)
    signals, labels = [*troubles, *decay, *drift], sum(day.labelled for day in now)
    if faults := _sentences(troubles, "fault"):
        return _decision(seen, policy, signals, "quarantine", faults, labels=labels)
    if why := [*_alarms(decay), *_together(champion, drift, policy)]:
        holds = _holds(seen, champion, policy, labels, _sentences(troubles, "doubt"))
        verdict: Verdict = "wait" if holds else "retrain"
        return _decision(seen, policy, signals, verdict, [*why, *holds.values()], list(holds), labels)
    if harmless := _harmless(decay, drift):
        return _decision(seen, policy, signals, "record", harmless, labels=labels)
    return _decision(seen, policy, signals, "wait", [_quiet(decay, len(now), labels)], labels=labels)


def next_allowed(seen: Observations, policy: RetrainingSpec) -> str | None:
    """The first day, not before today, that cooldown, budget and reviews leave free; None when the budget is 0."""
    champion = seen.champion
    if champion is None:
        return seen.as_of
    if not policy.budget_per_quarter:
        return None
    day = max(date.fromisoformat(seen.as_of), _cooled(seen, champion, policy))
    while _spent(seen, day) >= policy.budget_per_quarter:
        day = _next_quarter(day)
    return (day + timedelta(days=-_since(champion, day) % policy.review_days)).isoformat()


def _holds(
    seen: Observations, champion: Champion, policy: RetrainingSpec, labels: int, doubts: Sequence[str]
) -> dict[Hold, str]:
    """Each condition that keeps an alarm from retraining today, as a sentence."""
    today, free = date.fromisoformat(seen.as_of), _cooled(seen, champion, policy)
    holds: dict[Hold, str] = {}
    if doubts:
        holds["doubt"] = "held until this is clear: " + "; ".join(doubts)
    if labels < policy.min_matured_labels:
        holds["labels"] = f"held: {labels} matured labels in the window, {policy.min_matured_labels} are needed"
    if _since(champion, today) % policy.review_days:
        holds["review"] = f"held: signals are acted on every {policy.review_days} days, so that chance alarms seldom"
    if today < free:
        holds["cooldown"] = f"held by the cooldown of {policy.cooldown_days} days, which ends on {free}"
    if (spent := _spent(seen, today)) >= policy.budget_per_quarter:
        holds["budget"] = f"held: {spent} of {policy.budget_per_quarter} retrainings of this quarter are spent"
    return holds


def _cooled(seen: Observations, champion: Champion, policy: RetrainingSpec) -> date:
    """The first day on which the champion, and the last decision to retrain, are old enough."""
    last = max([champion.trained_until, *_retrained(seen)])
    return date.fromisoformat(last) + timedelta(days=policy.cooldown_days)


def _retrained(seen: Observations) -> list[str]:
    return [past.day for past in seen.history if past.verdict == "retrain" and past.day <= seen.as_of]


def _spent(seen: Observations, day: date) -> int:
    return sum(_quarter(date.fromisoformat(past)) == _quarter(day) for past in _retrained(seen))


def _quarter(day: date) -> tuple[int, int]:
    return day.year, (day.month - 1) // 3


def _next_quarter(day: date) -> date:
    year, quarter = _quarter(day)
    return date(year + 1, 1, 1) if quarter == 3 else date(year, 3 * quarter + 4, 1)


def _since(champion: Champion, day: date) -> int:
    return (day - date.fromisoformat(champion.trained_until)).days


def _together(champion: Champion, drift: Sequence[Signal], policy: RetrainingSpec) -> list[str]:
    """Why drift alarms: the prediction drifts, and so do features that carry enough of the importance."""
    predictions = _alarms([signal for signal in drift if signal.kind == "prediction drift"])
    features = [s for s in drift if s.kind == "feature drift" and share(champion, s.name) > 0]
    weight = sum(share(champion, signal.name) for signal in features)
    if not predictions or weight < policy.drifting_importance:
        return []
    names = ", ".join(signal.name for signal in features[:5]) + (" and others" if len(features) > 5 else "")
    return [*predictions, f"features with {weight:.0%} of the importance drift with it: {names}"]


def _harmless(decay: Sequence[Signal], drift: Sequence[Signal]) -> list[str]:
    """Why drift is only recorded; empty when there is none."""
    found = [signal for signal in drift if signal.kind == "feature drift"]
    moved = _alarms([signal for signal in drift if signal.kind == "prediction drift"])
    if not found and not moved:
        return []
    steady = [signal.sentence for signal in drift if signal.kind == "prediction drift" and not signal.alarm]
    why = "features that matter do not drift with it" if moved else "the prediction does not drift with them"
    worst = [signal.sentence for signal in found[:5]]
    return [*moved, *worst, f"harmless so far: {why}", *steady, *(signal.sentence for signal in decay)]


def _quiet(decay: Sequence[Signal], days: int, labels: int) -> str:
    if decay:
        return "nothing to see: " + "; ".join(signal.sentence for signal in decay)
    return f"too little to judge by: {days} final days of this champion with {labels} labels"


def _untrained(troubles: Sequence[Signal]) -> tuple[Verdict, list[str]]:
    if faults := _sentences(troubles, "fault"):
        return "quarantine", faults
    return "wait", ["there is no champion yet: materialise the candidate"]


def _sentences(signals: Sequence[Signal], kind: str) -> list[str]:
    return [signal.sentence for signal in signals if signal.kind == kind]


def _alarms(signals: Sequence[Signal]) -> list[str]:
    return [signal.sentence for signal in signals if signal.alarm]


def _decision(
    seen: Observations,
    policy: RetrainingSpec,
    signals: Sequence[Signal],
    verdict: Verdict,
    reasons: Sequence[str],
    held_by: Sequence[Hold] = (),
    labels: int = 0,
) -> Decision:
    return Decision(
        product=seen.product,
        day=seen.as_of,
        verdict=verdict,
        reasons=list(reasons),
        signals=list(signals),
        held_by=list(held_by),
        matured_labels=labels,
        next_allowed=next_allowed(seen, policy),
        champion_version=seen.champion.version if seen.champion else None,
        policy=policy.model_dump(mode="json"),
    )
