"""What a table reads, day by day, declared once: Dagster's dependency, the digest of the inputs and the gate."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from functools import lru_cache
from hashlib import sha256
from typing import Literal

import dagster as dg

from ml_platform.core.keys import AssetPath
from ml_platform.core.product import ProductSpec
from ml_platform.errors import GateError
from ml_platform.stages.attempts import WHOLE, Attempt, Records, reasons

DIGEST_LENGTH = 24


@dataclass(frozen=True)
class Upstream:
    """A table that is read. Day D reads its days D + `first` to D + `last`, or all of it when it is not `daily`.

    What is `required` must be there: `all` of these days, the `own` day, or `none`. What is there must have passed. One
    that is not `followed` is read as it stands: a change of it makes nothing stale.
    """

    path: AssetPath
    first: int = 0
    last: int = 0
    daily: bool = True
    required: Literal["all", "own", "none"] = "all"
    followed: bool = True

    @property
    def key(self) -> dg.AssetKey:
        """Dagster's key of the table."""
        return dg.AssetKey(self.path)

    @property
    def dep(self) -> dg.AssetDep:
        """Dagster's dependency on it, with the same days."""
        mapping = dg.TimeWindowPartitionMapping(self.first, self.last, allow_nonexistent_upstream_partitions=True)
        return dg.AssetDep(self.key, partition_mapping=mapping if self.daily else None)


@dataclass(frozen=True)
class State:
    """What Dagster has on record of one upstream table, by partition."""

    contents: Mapping[str, str]
    attempts: Mapping[str, Attempt]

    def broken(self, partition: str) -> bool:
        """Whether the last attempt at the partition failed an ERROR check or was refused."""
        attempt = self.attempts.get(partition)
        return attempt is not None and attempt.outcome != "passed"


@dataclass(frozen=True)
class Inputs:
    """All that a table of `product` reads, and what of the declaration it applies: either may make it stale."""

    product: ProductSpec
    upstream: Sequence[Upstream]
    applied: str = ""

    @property
    def deps(self) -> list[dg.AssetDep]:
        """Dagster's dependencies."""
        return [upstream.dep for upstream in self.upstream]

    def look(self, records: Records) -> "Look":
        """What is on record about all that it reads."""
        return Look(
            self,
            {u.path: State(records.contents(u.key, u.daily), records.attempts(u.key, u.daily)) for u in self.upstream},
        )

    def require(self, instance: dg.DagsterInstance, days: Sequence[str]) -> dict[str, str]:
        """The digest of what each of `days` reads; raises GateError when something is missing or did not pass.

        Call it before the versions of the tables are pinned: what changes in between is then seen as a change.
        """
        look = self.look(Records(instance))
        refuse(look.missing(days), {path: look.broken(path, days) for path in look.states}, instance)
        return look.digests(days)

    def digest_now(self, instance: dg.DagsterInstance) -> str:
        """The digest of what a table without days reads, as it stands."""
        return self.look(Records(instance)).digests([WHOLE])[WHOLE]

    def read_by(self, upstream: Upstream, day: str) -> Sequence[str]:
        """The partitions of `upstream` that `day` reads; those outside of the product's days do not exist."""
        if not upstream.daily:
            return [WHOLE]
        return _days_around(day, upstream.first, upstream.last, self.product.start, self.product.end)


@lru_cache(maxsize=20_000)  # a tick asks it of every day of every table
def _days_around(day: str, first: int, last: int, start: date, end: date | None) -> tuple[str, ...]:
    here = date.fromisoformat(day)
    since = max(here + timedelta(days=first), start)
    until = min(here + timedelta(days=last), end or date.max)
    return tuple((since + timedelta(days=n)).isoformat() for n in range((until - since).days + 1))


@dataclass(frozen=True)
class Look:
    """One look at the inputs of a table."""

    inputs: Inputs
    states: Mapping[AssetPath, State] = field(repr=False)

    def days(self) -> list[str]:
        """The days that may be computed: those for which some required daily table has content."""
        daily = [u for u in self.inputs.upstream if u.daily]
        wanted = [u for u in daily if u.required != "none"]
        return sorted({day for u in wanted for day in self.states[u.path].contents})

    def digests(self, days: Iterable[str]) -> dict[str, str]:
        """By day: one digest of the content versions of all that it reads and follows."""
        return {day: self._digest(day) for day in days}

    def missing(self, days: Iterable[str]) -> dict[AssetPath, list[str]]:
        """By table: required partitions of `days` that were never materialised."""
        found: dict[AssetPath, set[str]] = defaultdict(set)
        for day in days:
            for path, partition in self.missing_for(day):
                found[path].add(partition)
        return {path: sorted(partitions) for path, partitions in found.items()}

    def missing_for(self, day: str) -> list[tuple[AssetPath, str]]:
        """The required partitions that `day` reads and that were never materialised."""
        return [
            (u.path, p)
            for u in self.inputs.upstream
            if u.required != "none"
            for p in self.inputs.read_by(u, day)
            if (u.required == "all" or p == day) and p not in self.states[u.path].contents
        ]

    def broken(self, path: AssetPath, days: Iterable[str]) -> list[str]:
        """The partitions of a table that `days` read and that did not pass."""
        upstream = next(u for u in self.inputs.upstream if u.path == path)
        read = {p for day in days for p in self.inputs.read_by(upstream, day)}
        return sorted(p for p in read if self.states[path].broken(p))

    def broken_for(self, day: str) -> list[tuple[AssetPath, str]]:
        """The partitions that `day` reads and that did not pass."""
        return [(path, p) for path in self.states for p in self.broken(path, [day])]

    def _digest(self, day: str) -> str:
        read = [
            (u.path, p, self.states[u.path].contents.get(p, ""))
            for u in self.inputs.upstream
            if u.followed
            for p in self.inputs.read_by(u, day)
        ]
        return sha256((repr(read) + self.inputs.applied).encode()).hexdigest()[:DIGEST_LENGTH]


def refuse(
    missing: Mapping[AssetPath, Sequence[str]],
    broken: Mapping[AssetPath, Sequence[str]],
    instance: dg.DagsterInstance,
) -> None:
    """Raise GateError that names tables, partitions and reasons, when there are any."""
    for path, partitions in missing.items():
        name = "/".join(path)
        if list(partitions) == [WHOLE]:
            raise GateError(f"{name} was never materialised: materialise it first")
        if partitions:
            raise GateError(f"{name} has no partition {_few(partitions)}: materialise it first")
    for path, partitions in broken.items():
        if partitions:
            why = reasons(instance, dg.AssetKey(path), partitions)
            told = [f"{partition} {why.get(partition, '')}".strip() for partition in partitions]
            raise GateError(f"{'/'.join(path)} did not pass: {_few(told)}. Repair its input and materialise it again")


def _few(items: Sequence[str]) -> str:
    return ", ".join(items[:5]) + (f" and {len(items) - 5} more" if len(items) > 5 else "")
