"""The lake of a replay: what did not change since the last look is not read again."""

import threading
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, timedelta
from functools import cached_property
from itertools import groupby
from typing import TYPE_CHECKING, Any

from dbx_jobs.contract import PARTITION_COLUMN
from ml_platform.core.keys import AssetPath
from ml_platform.gateways.lake import File, Lake
from ml_platform.gateways.lake.lake import LOG
from ml_platform.gateways.lake.local import LocalFiles, local_path

if TYPE_CHECKING:
    from deltalake import DeltaTable

STILL_WRITTEN = 4
"""Days (of UTC) of the endpoint's log, up to the newest, that may still change."""

DAYS_KEPT = 1000
"""Days of small tables whose rows are kept, the least recently asked for being the first to go."""

DataFiles = frozenset[str]
Rows = list[dict[str, Any]]
Listing = tuple[list[File], list[str]]
"""The files of a folder, and the paths of its folders."""


@dataclass(frozen=True)
class ReplayFiles(LocalFiles):
    """Files that land whole: a folder is read again once its time of change is another."""

    _kept: dict[str, tuple[int, Listing]] = field(default_factory=dict, repr=False, compare=False)

    def folders(self, folder: str) -> list[str]:
        """The paths of the folders in a folder, sorted."""
        return self._listing(folder)[1]

    def _below(self, folder: str, deep: bool) -> Iterator[File]:
        files, folders = self._listing(folder)
        yield from files
        for inner in folders if deep else ():
            yield from self._below(inner, deep)

    def _listing(self, folder: str) -> Listing:
        """The files and the folders in a folder: what lands is renamed into it, and changes its time of change."""
        place = self.root / folder
        if not place.is_dir():
            return [], []
        changed = place.stat().st_mtime_ns
        known = self._kept.get(folder)
        if known is None or known[0] != changed:
            inner = sorted(f"{folder}/{each.name}" for each in place.iterdir() if each.is_dir())
            known = self._kept[folder] = changed, (list(super()._below(folder, deep=False)), inner)
        return known[1]


@dataclass
class _Kept:
    """What was read, each with what shows that it is the same still."""

    logged: dict[str, str] = field(default_factory=dict)
    """The digests of the endpoint's log by day."""
    rows: OrderedDict[tuple[AssetPath, date], tuple[DataFiles, list[dict[str, Any]]]] = field(
        default_factory=OrderedDict
    )
    """The rows of a day of a table, with the files that held them."""
    looking: Any = field(default_factory=threading.Lock)
    """Held while rows are looked up."""
    tables: threading.local = field(default_factory=threading.local)
    """Delta tables by URI, which read only what was committed since: those of each thread."""


@dataclass(frozen=True)
class ReplayLake(Lake):
    """A lake on this machine whose files land whole, and whose endpoint is asked about one day after the other.

    The rows that it gives are not to be changed: the next who asks gets the same ones.
    """

    _kept: _Kept = field(default_factory=_Kept, repr=False, compare=False)

    @cached_property
    def files(self) -> ReplayFiles:
        """See Lake."""
        return ReplayFiles(local_path(self.uri))

    def logged(self, endpoint: str, timezone: str) -> dict[str, str]:
        """See Lake."""
        folders = sorted(self._day_folders(endpoint))
        found, known = super().logged(endpoint, timezone), self._kept.logged
        # The first of the days that are listed again may lack hours that lie in the folder before.
        first = "-".join(folders[-STILL_WRITTEN]) if len(folders) > STILL_WRITTEN else ""
        known.update({day: files for day, files in found.items() if day not in known or day > first})
        return dict(known)

    def rows(self, key: AssetPath, start: str, end: str) -> list[dict[str, Any]]:
        """See Lake. A single day is read and not kept: it may be one of a large table."""
        if start == end:
            return super().rows(key, start, end)
        files, kept = self._data_files(key), self._kept.rows
        first, last = date.fromisoformat(start), date.fromisoformat(end)
        days = [day for n in range((last - first).days + 1) if (day := first + timedelta(days=n)) in files]
        with self._kept.looking:
            changed = [day for day in days if (key, day) not in kept or kept[key, day][0] != files[day]]
            if changed:
                read = super().rows(key, changed[0].isoformat(), changed[-1].isoformat())
                for day, rows in groupby(sorted(read, key=_day), _day):
                    kept[key, day] = files[day], list(rows)
            for day in days:
                kept.move_to_end((key, day))
            found = [row for day in days for row in kept[key, day][1]]
            while len(kept) > DAYS_KEPT:
                kept.popitem(last=False)
        return found

    def _data_files(self, key: AssetPath) -> dict[date, DataFiles]:
        actions = self.open_table(key).get_add_actions(flatten=True)
        days, paths = (actions[name].to_pylist() for name in (f"partition.{PARTITION_COLUMN}", "path"))
        pairs = sorted(zip(days, paths, strict=True))
        return {day: frozenset(path for _, path in found) for day, found in groupby(pairs, lambda pair: pair[0])}

    def open_table(self, key: AssetPath) -> "DeltaTable":
        """See Lake."""
        tables = self._kept.tables.__dict__
        if (uri := self.table(key)) in tables:
            tables[uri].update_incremental()
        else:
            tables[uri] = super().open_table(key)
        return tables[uri]

    def _log_files(self, endpoint: str) -> list[File]:
        # Lines are added to a file of the log, which its folder does not tell: without the folders that are kept.
        plain = LocalFiles(self.files.root)
        if not self._kept.logged:
            return plain.listed(f"{LOG}/{endpoint}")
        by_day = self._day_folders(endpoint)
        return [f for day in sorted(by_day)[-STILL_WRITTEN:] for folder in by_day[day] for f in plain.listed(folder)]

    def _day_folders(self, endpoint: str) -> dict[tuple[str, ...], list[str]]:
        """The folders `<deployment>/<collection>/<yyyy>/<MM>/<dd>` of an endpoint's log by their day."""
        folders = [f"{LOG}/{endpoint}"]
        for _ in range(5):
            folders = [inner for folder in folders for inner in self.files.folders(folder)]
        found: dict[tuple[str, ...], list[str]] = {}
        for folder in folders:
            found.setdefault(tuple(folder.split("/")[-3:]), []).append(folder)
        return found


def _day(row: dict[str, Any]) -> date:
    return row[PARTITION_COLUMN]
