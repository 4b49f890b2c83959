"""Champion against challenger: evidence and a policy give a decision that says why."""

from dataclasses import dataclass, field
from math import isfinite
from typing import Literal, TypeGuard

Direction = Literal["maximize", "minimize"]
Verdict = Literal["promote", "refuse", "ask"]


@dataclass(frozen=True)
class Interval:
    """A point estimate with its 95 % interval, `lower` <= `upper`, in the metric's own unit."""

    point: float
    lower: float
    upper: float


@dataclass(frozen=True)
class SliceEvidence:
    """One slice (`carrier=UA`) on the frozen window: the declared metric of both models on the same rows."""

    name: str
    rows: int
    challenger: float
    champion: float | None = None
    difference: Interval | None = None
    """Challenger minus champion, paired by day."""


@dataclass(frozen=True)
class Evidence:
    """What both models did on one window that neither was fitted or tuned on.

    `champion_version` is None when there is no champion yet; `champion_problem` says why a champion that exists could
    not be scored. `difference` is challenger minus champion in the declared metric.
    """

    challenger_version: str
    window: list[str]
    rows: int
    positives: int
    challenger: dict[str, float]
    champion_version: str | None = None
    champion: dict[str, float] = field(default_factory=dict)
    champion_problem: str | None = None
    difference: Interval | None = None
    slices: list[SliceEvidence] = field(default_factory=list)


@dataclass(frozen=True)
class GatePolicy:
    """What a challenger must show. Every bound is in the metric's own unit; margins and gains are positive numbers."""

    metric: str
    direction: Direction
    margin: float
    """The challenger may be worse than the champion by at most this, with 97.5 % confidence (non-inferiority)."""
    min_rows: int
    min_positives: int
    slice_margin: float
    """A slice may get worse by at most this, unless the scatter of its days explains it."""
    min_slice_rows: int
    max_gain: float
    """A better difference than this is too good to be taken without a person: it is often a leak."""
    floors: dict[str, float] = field(default_factory=dict)
    ceilings: dict[str, float] = field(default_factory=dict)
    suspicious_above: float | None = None
    """A value of the metric better than this asks for a person, with or without a champion."""


@dataclass(frozen=True)
class Decision:
    """The gate's verdict: `promote`, `refuse`, or `ask` (a person must look), its reasons and its evidence."""

    accepted: bool
    verdict: Verdict
    reasons: tuple[str, ...]
    evidence: Evidence


def decide(evidence: Evidence, policy: GatePolicy) -> Decision:
    """Judge `evidence` by `policy`. Whatever is missing, not a number or unreadable refuses: the gate fails closed."""
    refusals = [*_size(evidence, policy), *_bounds(evidence, policy)]
    if evidence.champion_version is not None:
        refusals += [*_champion(evidence, policy), *_slices(evidence, policy)]
    if refusals:
        return Decision(False, "refuse", tuple(refusals), evidence)
    if doubts := _too_good(evidence, policy):
        return Decision(False, "ask", tuple(doubts), evidence)
    return Decision(True, "promote", (_praise(evidence, policy),), evidence)


def _size(evidence: Evidence, policy: GatePolicy) -> list[str]:
    reasons = []
    if evidence.rows < policy.min_rows:
        reasons.append(f"the frozen window has {evidence.rows} rows, at least {policy.min_rows} are needed")
    if evidence.positives < policy.min_positives:
        reasons.append(f"the frozen window has {evidence.positives} positives, {policy.min_positives} are needed")
    return reasons


def _bounds(evidence: Evidence, policy: GatePolicy) -> list[str]:
    values = evidence.challenger
    reasons = [
        f"the challenger's {name} is {_missing(values.get(name))}"
        for name in sorted({policy.metric, *policy.floors, *policy.ceilings})
        if not _number(values.get(name))
    ]
    reasons += [
        f"{n} {values[n]:.4f} is below its floor {b:g}"
        for n, b in policy.floors.items()
        if _number(values.get(n)) and values[n] < b
    ]
    reasons += [
        f"{n} {values[n]:.4f} is above its ceiling {b:g}"
        for n, b in policy.ceilings.items()
        if _number(values.get(n)) and values[n] > b
    ]
    return reasons


def _champion(evidence: Evidence, policy: GatePolicy) -> list[str]:
    name = f"champion (version {evidence.champion_version})"
    if evidence.champion_problem:
        return [f"the {name} cannot be compared: {evidence.champion_problem}"]
    if not _number(value := evidence.champion.get(policy.metric)):
        return [f"the {name}'s {policy.metric} is {_missing(value)}"]
    if not _known(evidence.difference):
        return [f"the difference in {policy.metric} to the {name} is missing or not a number"]
    better = _better(evidence.difference, policy)
    if better.lower < -policy.margin:
        return [
            f"{policy.metric} may be worse than the {name}'s by {-better.lower:.4f} (97.5 % bound), "
            f"more than the margin {policy.margin:g}"
        ]
    return []


def _slices(evidence: Evidence, policy: GatePolicy) -> list[str]:
    if evidence.champion_problem:
        return []
    large = [item for item in evidence.slices if item.rows >= policy.min_slice_rows]
    return [reason for item in large if (reason := _slice(item, policy))]


def _slice(item: SliceEvidence, policy: GatePolicy) -> str | None:
    """Why one slice refuses: it got worse by more than the margin, and beyond what its days' scatter explains."""
    if not _number(item.challenger) or not _number(item.champion) or not _known(item.difference):
        return f"{policy.metric} of the slice {item.name} is missing or not a number"
    better = _better(item.difference, policy)
    if better.point < -policy.slice_margin and better.upper < 0:
        return (
            f"{policy.metric} of the slice {item.name} ({item.rows} rows) is worse by {-better.point:.4f}, "
            f"more than the margin {policy.slice_margin:g}"
        )
    return None


def _too_good(evidence: Evidence, policy: GatePolicy) -> list[str]:
    sign = 1 if policy.direction == "maximize" else -1
    value, reasons = evidence.challenger[policy.metric], []
    if policy.suspicious_above is not None and sign * (value - policy.suspicious_above) > 0:
        reasons.append(
            f"{policy.metric} {value:.4f} is better than {policy.suspicious_above:g}, which nothing known "
            "before the event explains: look for a leak, then approve or drop the version"
        )
    if evidence.difference is not None and (gain := _better(evidence.difference, policy).point) > policy.max_gain:
        reasons.append(
            f"{policy.metric} improved by {gain:.4f}, more than {policy.max_gain:g} in one step: "
            "look for a leak, then approve or drop the version"
        )
    return reasons


def _praise(evidence: Evidence, policy: GatePolicy) -> str:
    value = f"{policy.metric} {evidence.challenger[policy.metric]:.4f} on {evidence.rows} rows"
    if evidence.difference is None:
        return f"{value}: the first model, within its floors"
    d = evidence.difference
    return f"{value}, {d.point:+.4f} [{d.lower:+.4f}, {d.upper:+.4f}] against version {evidence.champion_version}"


def _better(difference: Interval, policy: GatePolicy) -> Interval:
    """The difference turned so that larger is better."""
    if policy.direction == "maximize":
        return difference
    return Interval(-difference.point, -difference.upper, -difference.lower)


def _number(value: float | None) -> TypeGuard[float]:
    return value is not None and isfinite(value)


def _known(difference: Interval | None) -> TypeGuard[Interval]:
    return difference is not None and all(map(isfinite, (difference.point, difference.lower, difference.upper)))


def _missing(value: float | None) -> str:
    return "missing" if value is None else f"{value}, not a number"
