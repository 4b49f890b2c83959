"""Completes requests: what a caller does not send is computed from the request or looked up in the online store."""

import logging
import time
from collections.abc import Sequence
from datetime import datetime
from itertools import chain
from operator import itemgetter
from typing import Any

import msgspec
from msgspec import UNSET, Raw, Struct
from msgspec.structs import astuple

from dbx_jobs.online_contract import SNAPSHOT, row_name
from ml_platform.scoring.measures import Measures
from ml_platform.scoring.online_plan import Plan, Values, WallClock
from ml_platform.scoring.online_store import OnlineStore, StoreUnreachable
from ml_platform.scoring.records import Record
from ml_platform.scoring.refusal import Refusal
from ml_platform.scoring.state import OnlineDeclaration

LOOK_SECONDS = 0.1
"""How often the store is asked for a new snapshot."""
UNREACHABLE = "the store did not answer"
_ATTEMPTS = 5

logger = logging.getLogger(__name__)


class _Completed(Struct, omit_defaults=True, gc=False):
    """How a record was completed, for the log: see `dbx_jobs.online_contract.COMPLETED`."""

    snapshot: Raw
    request: dict[str, Any]
    given: list[str] = []
    missing: dict[str, str] = {}


class _Moved(Exception):
    """The store has another snapshot by now."""


class OnlineFeatures:
    """Completes the records of one deployment; `record` is the type of a completed one, `wanted` its columns.

    A column that the caller sends is taken as it is, also where it is null. What cannot be looked up, or is too old,
    counts as missing; the log says so.
    """

    def __init__(
        self, declared: OnlineDeclaration, wanted: Sequence[str], inputs: int, record: type[Record], store: OnlineStore
    ) -> None:
        self._declared, self._store, self._record = declared, store, record
        self._wanted, self._inputs = tuple(wanted), inputs
        self._columns = tuple(declared.request)
        asked = [*wanted, *(name for name in self._columns if name not in wanted)]
        self._request = itemgetter(*(asked.index(name) for name in self._columns))
        self._clock = WallClock(declared.event_time, self._columns)
        self._plan: Plan | None = None
        self._looked = float("-inf")
        self._trouble = ""

    async def complete(self, asked: Sequence[Record], at: datetime, measures: Measures) -> list[Record]:
        """The records of a request that came at `at`; raises Refusal 422 or 503."""
        return [await self._complete(astuple(each), at, n, measures) for n, each in enumerate(asked)]

    async def _complete(self, values: Values, at: datetime, number: int, measures: Measures) -> Record:
        sent = values[: len(self._wanted)]
        if UNSET not in sent:
            return self._record(*sent)
        request = self._request(values)
        if UNSET in request:
            lacks = [name for name, value in zip(self._columns, request, strict=True) if value is UNSET]
            raise Refusal(422, f"record {number} lacks {lacks}, by which its features are found; send null for unknown")
        plan, rows = await self._found(request)
        if lacks := [name for name in plan.absent if sent[self._wanted.index(name)] is UNSET]:
            raise Refusal(422, f"record {number} lacks {lacks}, which are not among the online features: send them")
        found = plan.pick((*plan.computed.of(self._clock.columns(request)), *(rows or plan.nothing), None))
        gone = plan.expired(at.timestamp()) if rows is not None else dict.fromkeys(plan.looked_up, UNREACHABLE)
        filled = [found[n] if value is UNSET and n not in gone else value for n, value in enumerate(sent)]
        missing = {self._wanted[n]: why for n, why in gone.items() if sent[n] is UNSET}
        if missing:
            measures.incomplete_records += 1
            filled = [None if value is UNSET else value for value in filled]
        self._refuse_without_key(filled, number)
        given = [self._wanted[n] for n, value in enumerate(sent[: self._inputs]) if value is not UNSET]
        note = _Completed(
            plan.told,
            dict(zip(self._columns, request, strict=True)),
            [name for name in given if name not in self._columns],
            missing,
        )
        return self._record(*filled, msgspec.json.encode(note).decode())

    def _refuse_without_key(self, filled: Sequence[Any], number: int) -> None:
        for name, value in zip(self._wanted[self._inputs :], filled[self._inputs :], strict=True):
            if value is None:
                raise Refusal(422, f"record {number}: {name!r} does not follow from the request: send it")

    async def _found(self, request: Values) -> tuple[Plan, Values | None]:
        """The snapshot and the values in it, in the order of its groups; None where the store did not answer."""
        for _ in range(_ATTEMPTS):
            plan = await self._current()
            try:
                return plan, await self._rows(plan, request)
            except _Moved:
                self._looked = float("-inf")
        raise Refusal(503, "the online store changes faster than it is read", {"retry-after": "1"})

    async def _rows(self, plan: Plan, request: Values) -> Values | None:
        keys = [(n, *[request[place] for place in places]) for n, places in enumerate(plan.key_places)]
        if unread := [key for key in keys if key not in plan.rows]:
            try:
                text, *found = await self._store.get([SNAPSHOT, *(row_name(key[0], key[1:]) for key in unread)])
            except StoreUnreachable as error:
                self._tell(str(error))
                return None
            if text != plan.text:
                raise _Moved
            plan.keep(unread, found)
        return tuple(chain.from_iterable(plan.rows[key] for key in keys))

    async def _current(self) -> Plan:
        now = time.monotonic()
        if now - self._looked >= LOOK_SECONDS:
            self._looked = now
            try:
                self._plan = await self._newest()
                self._tell("")
            except (StoreUnreachable, ValueError) as error:
                # The snapshot before is kept: it ages, and what is too old is not used.
                self._tell(str(error))
        if self._plan is None:
            raise Refusal(503, "the online features are not there: send all inputs, or come back", {"retry-after": "5"})
        return self._plan

    async def _newest(self) -> Plan:
        [text] = await self._store.get([SNAPSHOT])
        if text is None:
            raise ValueError(f"the online store of {self._declared.product} is empty: materialise its online features")
        if self._plan is not None and self._plan.text == text:
            return self._plan
        plan = Plan(text, self._wanted, self._declared, self._clock.names)
        again, *defaults = await self._store.get([SNAPSHOT, *plan.default_names])
        if again != text:
            raise StoreUnreachable("its snapshot was replaced while it was read")
        plan.set_defaults(defaults)
        return plan

    def _tell(self, trouble: str) -> None:
        if trouble and trouble != self._trouble:
            logger.error("online features: %s", trouble)
        self._trouble = trouble
