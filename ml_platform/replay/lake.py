"""The lake of a replay: what did not change since the last look is not read again."""

import threading
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, timedelta
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dbx_jobs.contract import PARTITION_COLUMN
from ml_platform.core.keys import AssetPath
from ml_platform.gateways.lake import Lake
from ml_platform.upstream import local_path

if TYPE_CHECKING:
    from deltalake import DeltaTable

STILL_WRITTEN = 4
"""Days (of UTC) of the endpoint's log, up to the newest, that may still change."""

DAYS_KEPT = 1000
"""Days of small tables whose rows are kept, the least recently asked for being the first to go."""

Files = frozenset[str]
Listing = tuple[list[dict[str, Any]], list[Path]]
"""The files of a folder, as fsspec describes them, and its folders."""


@dataclass
class _Kept:
    """What was read, each with what shows that it is the same still."""

    folders: dict[Path, tuple[int, Listing]] = field(default_factory=dict)
    """What lies in a folder, with the folder's time of change."""
    logged: dict[str, str] = field(default_factory=dict)
    """The digests of the endpoint's log by day."""
    rows: OrderedDict[tuple[AssetPath, date], tuple[Files, list[dict[str, Any]]]] = field(default_factory=OrderedDict)
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

    def logged(self, endpoint: str, timezone: str) -> dict[str, str]:
        """See Lake."""
        folders = sorted(self._day_folders(f"{self.inference_log()}/{endpoint}"))
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

    def _data_files(self, key: AssetPath) -> dict[date, Files]:
        actions = self._open(key).get_add_actions(flatten=True)
        days, paths = (actions[name].to_pylist() for name in (f"partition.{PARTITION_COLUMN}", "path"))
        pairs = sorted(zip(days, paths, strict=True))
        return {day: frozenset(path for _, path in found) for day, found in groupby(pairs, lambda pair: pair[0])}

    def _open(self, key: AssetPath) -> "DeltaTable":
        tables = self._kept.tables.__dict__
        if (uri := self.table(key)) in tables:
            tables[uri].update_incremental()
        else:
            tables[uri] = super()._open(key)
        return tables[uri]

    def _files(self, folder: str, deep: bool = True) -> list[dict[str, Any]]:
        if folder.startswith(self.inference_log()):
            if not self._kept.logged:
                return super()._files(folder, deep)
            by_day = self._day_folders(folder)
            newest = sorted(by_day)[-STILL_WRITTEN:]
            return [file for day in newest for uri in by_day[day] for file in super(ReplayLake, self)._files(uri)]
        return list(self._landed(local_path(folder), deep))

    def _landed(self, folder: Path, deep: bool) -> Iterator[dict[str, Any]]:
        files, folders = self._listing(folder)
        yield from files
        for inner in folders if deep else ():
            yield from self._landed(inner, deep)

    def _listing(self, folder: Path) -> Listing:
        """The files and the folders in a folder: what lands is renamed into it, and changes its time of change."""
        if not folder.exists():
            return [], []
        changed = folder.stat().st_mtime_ns
        known = self._kept.folders.get(folder)
        if known is None or known[0] != changed:
            listing = super()._files(folder.as_uri(), deep=False), sorted(i for i in folder.iterdir() if i.is_dir())
            known = self._kept.folders[folder] = changed, listing
        return known[1]

    def _day_folders(self, log: str) -> dict[tuple[str, ...], list[str]]:
        """The folders `<deployment>/<collection>/<yyyy>/<MM>/<dd>` by their day."""
        found: dict[tuple[str, ...], list[str]] = {}
        for month in local_path(log).glob("*/*/*/*"):
            for folder in self._listing(month)[1]:
                found.setdefault(folder.parts[-3:], []).append(folder.as_uri())
        return found


def _day(row: dict[str, Any]) -> date:
    return row[PARTITION_COLUMN]
