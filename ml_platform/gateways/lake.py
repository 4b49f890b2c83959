"""The lake: where landed files and Delta tables are, under one URI, and which version a table has."""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from hashlib import sha256
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from dbx_jobs.contract import LANDED_DAY, LANDED_NAME, LOG_SLACK, Days
from ml_platform.core.keys import AssetPath
from ml_platform.errors import LakeError

if TYPE_CHECKING:
    from deltalake import DeltaTable

NOTHING = "nothing"
"""In place of the digest of the files of a partition for which nothing lies there."""

DIGEST_LENGTH = 24
FOLDERS_AT_ONCE = 31
"""A longer range of days is found by listing all days at once."""

_LOGGED = re.compile(r"/model_(?:inputs|outputs)/(\d{4})/(\d{2})/(\d{2})/(\d{2})/[^/]+\.jsonl$")


@dataclass(frozen=True)
class Lake:
    """A lake under `uri` (file:// or abfss://). `storage_options` are delta-rs's; secrets stay out of the repr."""

    uri: str
    storage_options: Mapping[str, str] = field(default_factory=dict, repr=False)

    def landing(self, source: str) -> str:
        """Folder in which the files of a source land."""
        return f"{self.uri}/landing/{source}"

    def quarantine(self, source: str) -> str:
        """Table of the rows of a source that did not fit."""
        return f"{self.uri}/quarantine/{source}"

    def inference_log(self) -> str:
        """Folder below which endpoints write their requests and predictions."""
        return f"{self.uri}/modelDataCollector"

    def landed(self, source: str, days: Days | None = None, daily: bool = True) -> dict[str, str]:
        """The digest of the files (names, sizes, times of change) that landed, by day ("" for a snapshot source).

        `days` limits the look. Folders whose name is no day are not the source's.
        """
        root = self.landing(source)
        if not daily:
            return _digests(("", f) for f in self._files(root, deep=False) if re.fullmatch(LANDED_NAME, _name(f)))
        wanted = re.compile(rf"/({LANDED_DAY})/({LANDED_NAME})$")
        files = (file for folder in _folders(root, days) for file in self._files(folder))
        found = ((match[1], file) for file in files if (match := wanted.search(file["name"])))
        return _digests((day, f) for day, f in found if days is None or days.start <= day <= days.end)

    def logged(self, endpoint: str, timezone: str) -> dict[str, str]:
        """The digest of the files of an endpoint's log that may hold predictions of a day of `timezone`, by day."""
        return _digests(
            (day, f)
            for f in self._files(f"{self.inference_log()}/{endpoint}")
            if (match := _LOGGED.search(f["name"]))
            for day in _days_of_hour("/".join(match.groups()), ZoneInfo(timezone))
        )

    def table(self, key: AssetPath) -> str:
        """URI of the Delta table behind an asset."""
        return "/".join((self.uri, *key))

    def version(self, key: AssetPath) -> int:
        """Current Delta version of the table behind an asset. Raises LakeError when there is no table."""
        return self._open(key).version()

    def rows(self, key: AssetPath, start: str, end: str) -> list[dict[str, Any]]:
        """The rows of the days from `start` to `end` of a small daily table, for pictures, replays and summaries."""
        days = [("day", ">=", date.fromisoformat(start)), ("day", "<=", date.fromisoformat(end))]
        return self._open(key).to_pyarrow_table(filters=days).to_pylist()

    def write_text(self, path: str, text: str) -> None:
        """Write a small document, `path` being relative to the lake; it appears whole or not at all."""
        import fsspec

        filesystem, target = fsspec.url_to_fs(f"{self.uri}/{path}", **self.storage_options)
        filesystem.makedirs(target.rsplit("/", 1)[0], exist_ok=True)
        unfinished = f"{target}.part"
        filesystem.pipe_file(unfinished, text.encode())
        filesystem.mv(unfinished, target)

    def read_text(self, path: str) -> str:
        """A document that `write_text` wrote. Raises LakeError when there is none."""
        import fsspec

        filesystem, target = fsspec.url_to_fs(f"{self.uri}/{path}", **self.storage_options)
        try:
            return filesystem.cat_file(target).decode()
        except FileNotFoundError as error:
            raise LakeError(f"There is no {path} in the lake {self.uri}") from error

    def _files(self, folder: str, deep: bool = True) -> list[dict[str, Any]]:
        """What fsspec says about each file in a folder; nothing when there is no such folder."""
        import fsspec

        filesystem, path = fsspec.url_to_fs(folder, **self.storage_options)
        if deep:
            return list(filesystem.find(path, detail=True).values())
        try:
            return [entry for entry in filesystem.ls(path, detail=True) if entry["type"] == "file"]
        except FileNotFoundError:
            return []

    def _open(self, key: AssetPath) -> "DeltaTable":
        from deltalake import DeltaTable
        from deltalake.exceptions import TableNotFoundError

        try:
            return DeltaTable(self.table(key), storage_options=dict(self.storage_options) or None)
        except TableNotFoundError as error:
            raise LakeError(f"There is no table at {self.table(key)}: materialise {'/'.join(key)} first") from error


def _digests(files: Iterable[tuple[str, dict[str, Any]]]) -> dict[str, str]:
    """By partition: one digest of names, sizes and times of change (or tags of content, where the store has them)."""
    seen: dict[str, list[tuple[str, int, str]]] = defaultdict(list)
    for partition, entry in files:
        changed = entry.get("etag") or entry.get("mtime") or entry.get("last_modified")
        seen[partition].append((_name(entry), entry["size"], str(changed)))
    return {p: sha256(repr(sorted(found)).encode()).hexdigest()[:DIGEST_LENGTH] for p, found in seen.items()}


def _name(entry: Mapping[str, Any]) -> str:
    return entry["name"].rsplit("/", 1)[-1]


def _folders(root: str, days: Days | None) -> list[str]:
    """Where to look for the files of `days`: in the folder of each, or in all that there are when they are many."""
    if days is None:
        return [root]
    first, last = date.fromisoformat(days.start), date.fromisoformat(days.end)
    count = (last - first).days + 1
    return [f"{root}/{first + timedelta(days=n)}" for n in range(count)] if count <= FOLDERS_AT_ONCE else [root]


def _days_of_hour(folder: str, zone: ZoneInfo) -> Iterator[str]:
    """The days of `zone` to which a record in the folder of an hour of UTC, `2013/04/30/23`, may belong."""
    hour = datetime.strptime(folder, "%Y/%m/%d/%H")
    first, last = ((hour.replace(tzinfo=UTC) + shift).astimezone(zone).date() for shift in (-2 * LOG_SLACK, LOG_SLACK))
    return ((first + timedelta(days=n)).isoformat() for n in range((last - first).days + 1))
