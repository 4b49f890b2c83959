"""One snapshot of an online store made ready to complete requests with, and the wall clock of a request."""

from collections.abc import Sequence
from datetime import datetime
from operator import itemgetter
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
from msgspec import Raw

from dbx_jobs.contract import PARTITION_COLUMN, EventTime
from dbx_jobs.online_contract import Snapshot, row_name
from ml_platform.scoring.computed import Computed
from ml_platform.scoring.state import OnlineDeclaration

MAX_KEPT_ROWS = 200_000
STALE, LATER = "older than its time to live", "later than the request"

Values = tuple[Any, ...]

_row = msgspec.json.Decoder(list[float | int | str | None])


class Plan:
    """Where in a snapshot each of the `wanted` columns is found, and the rows that were read of it so far.

    `columns` are those of a request that expressions see. Raises ValueError for a text that is no snapshot.
    """

    def __init__(self, text: str, wanted: Sequence[str], declared: OnlineDeclaration, columns: Sequence[str]) -> None:
        self.text = text
        snapshot = msgspec.json.decode(text, type=Snapshot)
        self._as_of, groups = snapshot.as_of, snapshot.groups
        request = list(declared.request)
        self.key_places = [[request.index(name) for name in group.key] for group in groups]
        """Of each group where in a request its key is."""
        self.default_names = [row_name(n, [None] * len(group.key)) for n, group in enumerate(groups)]
        self.computed = Computed(snapshot.computed, columns)
        self.told = Raw(
            msgspec.json.encode({"as_of": snapshot.as_of, "until": snapshot.until, "sources": snapshot.sources})
        )
        features = [name for group in groups for name in group.features]
        found = [*snapshot.computed, *features]
        self.pick = itemgetter(*(found.index(name) if name in found else len(found) for name in wanted))
        """Of the computed columns, the features of all groups and None those that are wanted."""
        self.absent = [name for name in wanted if name not in found and name != declared.event_time.column]
        self.looked_up = [place for place, name in enumerate(wanted) if name in features]
        self.nothing: Values = (None,) * len(features)
        self.rows: dict[Values, Values] = {}
        """By the number of a group and a key."""
        self._defaults: list[Values] = []
        self._widths = [len(group.features) for group in groups]
        self._lives = {
            place: declared.ttl_seconds_of.get(wanted[place], declared.ttl_seconds) for place in self.looked_up
        }
        self._shortest = min(self._lives.values(), default=float("inf"))

    def expired(self, at: float) -> dict[int, str]:
        """The places of wanted columns whose values count as missing at `at` (seconds since 1970), and why."""
        age = at - self._as_of
        if 0 <= age <= self._shortest:
            return {}
        return {place: LATER if age < 0 else STALE for place, life in self._lives.items() if not 0 <= age <= life}

    def set_defaults(self, texts: Sequence[str | None]) -> None:
        """Take what is known of keys that the snapshot does not have; raises ValueError where a group has none."""
        self._defaults = [self._values(n, text) for n, text in enumerate(texts)]

    def keep(self, keys: Sequence[Values], texts: Sequence[str | None]) -> None:
        """Remember rows that were read."""
        if len(self.rows) > MAX_KEPT_ROWS:
            self.rows.clear()
        for key, text in zip(keys, texts, strict=True):
            self.rows[key] = self._defaults[key[0]] if text is None else self._values(key[0], text)

    def _values(self, group: int, text: str | None) -> Values:
        values = _row.decode(text or "[]")
        if len(values) != self._widths[group]:
            raise ValueError(f"group {group} of the online store has {len(values)} values, not {self._widths[group]}")
        return tuple(values)


class WallClock:
    """The columns of a request that expressions see: those that were sent, and what its event time says by the clock.

    The latter are the day and the columns from which the source derives its event time.
    """

    def __init__(self, event_time: EventTime, columns: Sequence[str]) -> None:
        self._place = columns.index(event_time.column)
        self._zone, self._parts, self._hhmm = (
            ZoneInfo(event_time.timezone),
            len(event_time.date),
            event_time.time_format == "hhmm",
        )
        others = [name for name in columns if name != event_time.column]
        self.names = [*others, *dict.fromkeys((PARTITION_COLUMN, *event_time.date, event_time.time))]
        self._day_is_declared = PARTITION_COLUMN in event_time.date

    def columns(self, request: Values) -> list[Any]:
        """The values of `names`."""
        at: datetime = request[self._place].astimezone(self._zone)
        day = at.date().isoformat()
        date = [day] if self._parts == 1 else [at.year, at.month, at.day]
        others = [*request[: self._place], *request[self._place + 1 :]]
        time = at.hour * 100 + at.minute if self._hhmm else at.hour
        return [*others, *([] if self._day_is_declared else [day]), *date, time]
