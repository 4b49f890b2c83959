"""All files of one landed partition -> its rows, what is quarantined, and whether the partition is refused."""

from collections import defaultdict
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any, NamedTuple

from dbx_jobs.clock import Clock, Instants, day_of
from dbx_jobs.contract import PARTITION_COLUMN, IngestRequest
from dbx_jobs.csv_files import CsvReader, FileFault, Record, RowFault
from dbx_jobs.errors import DataError
from dbx_jobs.values import Unfit

KEYS_SHOWN = 3


class Quarantined(NamedTuple):
    """One row of the quarantine table."""

    file: str
    line: int | None
    column: str | None
    reason: str
    value: str | None
    """The line as it was read, at most a thousand characters of it."""


@dataclass
class Outcome:
    """What became of one landed partition. Rows are in the order of the declared columns, then the event time."""

    rows: list[tuple[Any, ...]] = field(default_factory=list)
    quarantine: list[Quarantined] = field(default_factory=list)
    files: int = 0
    duplicates: int = 0
    refused: str | None = None


class PartitionReader:
    """Reads the partitions of one source, as an `IngestRequest` declares it."""

    def __init__(self, request: IngestRequest) -> None:
        check_request(request)
        self._position = {column.name: n for n, column in enumerate(request.columns)}
        self._dates = request.partition_date
        self._event = request.event_time
        self._clock = Clock(request.event_time) if request.event_time else None
        derived = {request.event_time.column} if request.event_time else set()
        self._key = [name for name in request.key if name not in derived | {PARTITION_COLUMN}]
        self._event_in_key = bool(derived & set(request.key))
        self._csv = CsvReader(request.columns, required=set(self._key))

    def read(self, day: str | None, files: list[tuple[str, bytes]]) -> Outcome:
        """The outcome of the `files` (name, content) of one partition; `day` is None for a snapshot."""
        outcome = Outcome(files=len(files))
        records: list[Record] = []
        broken: list[str] = []
        for name, content in sorted(files):
            try:
                fit, faults = self._csv.read(name, content)
            except FileFault as fault:
                outcome.quarantine.append(Quarantined(name, fault.line, fault.column, fault.reason, None))
                broken.append(f"{name} {fault.reason}")
                continue
            records += fit
            outcome.quarantine += map(_quarantined, faults)
        records = self._of_the_day(day, records, outcome)
        outcome.rows = self._distinct(self._timed(records, outcome), outcome)
        if broken:
            outcome.refused = f"{'; '.join(broken)}. Land the file again, or remove it, and ingest the partition again."
            outcome.rows = []
        return outcome

    def _of_the_day(self, day: str | None, records: list[Record], outcome: Outcome) -> list[Record]:
        """The records that say they belong to the day they landed under."""
        if day is None or not self._dates:
            return records
        landed = date.fromisoformat(day)
        positions = [self._position[name] for name in self._dates]
        verdicts: dict[tuple[Any, ...], str | None] = {}
        kept = []
        for record in records:
            parts = tuple(record.values[p] for p in positions)
            if parts not in verdicts:
                said = day_of(parts)
                wrong = f"belongs to {said}, but the file landed under {day}"
                verdicts[parts] = said.reason if isinstance(said, Unfit) else wrong if said != landed else None
            if reason := verdicts[parts]:
                outcome.quarantine.append(
                    _quarantined(_fault(record, self._dates[0], f"{', '.join(self._dates)} {reason}"))
                )
            else:
                kept.append(record)
        return kept

    def _timed(self, records: list[Record], outcome: Outcome) -> list[tuple[Record, datetime | None]]:
        """Each record with its UTC event time."""
        if not self._event or self._clock is None:
            return [(record, None) for record in records]
        positions = [self._position[name] for name in (*self._event.date, self._event.time)]
        timed: list[tuple[Record, datetime | None]] = []
        repeated: dict[tuple[Any, ...], list[tuple[Record, Instants]]] = defaultdict(list)
        for record in records:
            instants = self._clock[tuple(record.values[p] for p in positions)]
            if isinstance(instants, Unfit):
                fault = _fault(record, self._event.time, f"{self._event.time} {instants.reason}")
                outcome.quarantine.append(_quarantined(fault))
            elif instants.earlier != instants.later and self._event_in_key:
                repeated[(*self._key_of(record), instants)].append((record, instants))
            else:
                timed.append((record, instants.later))
        for group in repeated.values():
            timed += _in_repeated_hour(group)
        return timed

    def _distinct(self, timed: list[tuple[Record, datetime | None]], outcome: Outcome) -> list[tuple[Any, ...]]:
        """The rows without exact duplicates and without those that contradict each other on one key."""
        contents = {}
        for record, instant in timed:
            contents.setdefault((record.values, instant), record)
        outcome.duplicates = len(timed) - len(contents)
        by_key: dict[tuple[Any, ...], list[tuple[Record, datetime | None]]] = defaultdict(list)
        for (_, instant), record in contents.items():
            by_key[(*self._key_of(record), instant if self._event_in_key else None)].append((record, instant))
        rows = []
        for same_key in by_key.values():
            if len(same_key) == 1 or not (self._key or self._event_in_key):
                rows += [record.values + ((instant,) if self._event else ()) for record, instant in same_key]
            else:
                outcome.quarantine += self._contradicting([record for record, _ in same_key])
        return rows

    def _contradicting(self, records: list[Record]) -> list[Quarantined]:
        names = [*self._key, *([self._event.column] if self._event and self._event_in_key else [])]
        places = ", ".join(f"{r.file} line {r.line}" for r in records[:KEYS_SHOWN])
        more = f" and {len(records) - KEYS_SHOWN} more" if len(records) > KEYS_SHOWN else ""
        reason = f"the key ({', '.join(names)}) is repeated with different content: {places}{more}"
        return [_quarantined(_fault(record, names[0], reason)) for record in records]

    def _key_of(self, record: Record) -> tuple[Any, ...]:
        return tuple(record.values[self._position[name]] for name in self._key)


def check_request(request: IngestRequest) -> None:
    """Refuse a request whose names do not fit together, before anything is read."""
    names = {column.name: column.type for column in request.columns}
    event = [request.event_time.column] if request.event_time else []
    reserved = [PARTITION_COLUMN, *event]
    if len(names) != len(request.columns) or any(name.startswith("_") or name in reserved for name in names):
        raise DataError(
            f"source {request.source}: columns must be named once, without a leading underscore, and not {reserved}"
        )
    if unknown := set(request.key) - set(names) - set(reserved):
        raise DataError(f"source {request.source}: the key names {sorted(unknown)}, which are not columns")
    times = [*request.event_time.date, request.event_time.time] if request.event_time else []
    for part in (*request.partition_date, *times):
        if names.get(part) not in ("int", "date"):
            raise DataError(
                f"source {request.source}: {part!r} must be a column of type int or date to give a day or a time"
            )
    for dates in (request.partition_date, request.event_time.date if request.event_time else []):
        if dates and [names[name] for name in dates] not in (["date"], ["int"] * 3):
            raise DataError(
                f"source {request.source}: {dates} must be one date column, or year, month and day of month"
            )


def _in_repeated_hour(group: list[tuple[Record, Instants]]) -> list[tuple[Record, datetime]]:
    """Which of its two instants each record of one key and one repeated wall-clock time has.

    Two different contents are the first and the second pass, in the order of their lines; so are two equal lines of one
    file. Equal lines of different files are one landed twice. A single one is the later: nothing is known too early.
    """
    instants = group[0][1]
    contents = list(dict.fromkeys(record.values for record, _ in group))
    if len(contents) == 1:
        files = [record.file for record, _ in group]
        twice = max(files.count(file) for file in files) > 1
        passes = [instants.earlier, instants.later] if twice else [instants.later]
        return [(record, passes[min(n, len(passes) - 1)]) for n, (record, _) in enumerate(group)]
    # A third content has no instant of its own: it contradicts the second.
    place = {values: instants.earlier if n == 0 else instants.later for n, values in enumerate(contents)}
    return [(record, place[record.values]) for record, _ in group]


def _fault(record: Record, column: str, reason: str) -> RowFault:
    return RowFault(record.file, record.line, column, reason, record.cells)


def _quarantined(fault: RowFault) -> Quarantined:
    return Quarantined(fault.file, fault.line, fault.column, fault.reason, ",".join(fault.cells)[:1000])
