"""What lies in a lake: landed files by their digests, Delta tables, the log of endpoints, small documents."""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import cached_property
from hashlib import sha256
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from dbx_jobs.contract import LANDED_DAY, LANDED_NAME, LOG_SLACK, Days
from dbx_jobs.object_store import delta_options
from ml_platform.core.keys import AssetPath
from ml_platform.errors import LakeError
from ml_platform.gateways.lake.blobs import BlobFiles
from ml_platform.gateways.lake.files import File, Files
from ml_platform.gateways.lake.local import LocalFiles, local_path

if TYPE_CHECKING:
    from deltalake import DeltaTable

NOTHING = "nothing"
"""In place of the digest of the files of a partition for which nothing lies there."""

DIGEST_LENGTH = 24
LANDING = "landing"
LOG = "modelDataCollector"

_LOGGED = re.compile(r"/model_(?:inputs|outputs)/(\d{4})/(\d{2})/(\d{2})/(\d{2})/[^/]+\.jsonl$")


def files_at(uri: str) -> Files:
    """The files under the URI of a lake, file:// or abfss://. Raises LakeError for any other."""
    scheme = urlsplit(uri).scheme
    if scheme == "abfss":
        return BlobFiles(uri)
    if scheme != "file":
        raise LakeError(f"ML_PLATFORM_LAKE_URI is {uri}: give file:///folder or abfss://container@account...")
    return LocalFiles(local_path(uri))


@dataclass(frozen=True)
class Lake:
    """A lake under `uri`, file:// or abfss://. Credentials are the environment's and stand nowhere in here."""

    uri: str

    @cached_property
    def files(self) -> Files:
        """The files of the lake, by their paths relative to its root."""
        return files_at(self.uri)

    def landing(self, source: str) -> str:
        """Folder in which the files of a source land."""
        return f"{self.uri}/{LANDING}/{source}"

    def quarantine(self, source: str) -> str:
        """Table of the rows of a source that did not fit."""
        return f"{self.uri}/quarantine/{source}"

    def inference_log(self) -> str:
        """Folder below which endpoints write their requests and predictions."""
        return f"{self.uri}/{LOG}"

    def landed(self, source: str, days: Days | None = None, daily: bool = True) -> dict[str, str]:
        """The digest of the files (names, sizes, tags) that landed, by day ("" for a snapshot source).

        `days` limits the look. Folders whose name is no day are not the source's.
        """
        root = f"{LANDING}/{source}"
        if not daily:
            return _digests(("", f) for f in self.files.listed(root, deep=False) if re.fullmatch(LANDED_NAME, f.name))
        wanted = re.compile(rf"{re.escape(root)}/({LANDED_DAY})/{LANDED_NAME}")
        found = ((match[1], f) for f in self.files.listed(root, days) if (match := wanted.fullmatch(f.path)))
        return _digests((day, f) for day, f in found if days is None or days.start <= day <= days.end)

    def logged(self, endpoint: str, timezone: str) -> dict[str, str]:
        """The digest of the files of an endpoint's log that may hold predictions of a day of `timezone`, by day."""
        return _digests(
            (day, f)
            for f in self._log_files(endpoint)
            if (match := _LOGGED.search(f.path))
            for day in _days_of_hour("/".join(match.groups()), ZoneInfo(timezone))
        )

    def table(self, key: AssetPath) -> str:
        """URI of the Delta table behind an asset."""
        return "/".join((self.uri, *key))

    def version(self, key: AssetPath) -> int:
        """Current Delta version of the table behind an asset. Raises LakeError when there is no table."""
        return self.open_table(key).version()

    def rows(self, key: AssetPath, start: str, end: str) -> list[dict[str, Any]]:
        """The rows of the days from `start` to `end` of a small daily table, for pictures, replays and summaries."""
        days = [("day", ">=", date.fromisoformat(start)), ("day", "<=", date.fromisoformat(end))]
        return self.open_table(key).to_pyarrow_table(filters=days).to_pylist()

    def open_table(self, key: AssetPath) -> "DeltaTable":
        """The table behind an asset as it is now. Raises LakeError when there is none, or the lake does not answer."""
        from deltalake import DeltaTable
        from deltalake.exceptions import TableNotFoundError

        try:
            return DeltaTable(self.table(key), storage_options=delta_options())
        except TableNotFoundError as error:
            raise LakeError(f"There is no table at {self.table(key)}: materialise {'/'.join(key)} first") from error
        except OSError as error:
            raise LakeError(f"{self.table(key)} cannot be read; see ml-platform doctor: {error}") from error

    def write_text(self, path: str, text: str) -> None:
        """Write a small document, `path` being relative to the lake; it appears whole or not at all."""
        self.files.write(path, text.encode())

    def read_text(self, path: str) -> str:
        """A document that `write_text` wrote. Raises LakeError when there is none."""
        if (content := self.files.read(path)) is None:
            raise LakeError(f"There is no {path} in the lake {self.uri}")
        return content.decode()

    def _log_files(self, endpoint: str) -> list[File]:
        return self.files.listed(f"{LOG}/{endpoint}")


def _digests(files: Iterable[tuple[str, File]]) -> dict[str, str]:
    """By partition: one digest of names, sizes and tags."""
    seen: dict[str, list[tuple[str, int, str]]] = defaultdict(list)
    for partition, file in files:
        seen[partition].append((file.name, file.size, file.tag))
    return {p: sha256(repr(sorted(found)).encode()).hexdigest()[:DIGEST_LENGTH] for p, found in seen.items()}


def _days_of_hour(folder: str, zone: ZoneInfo) -> Iterator[str]:
    """The days of `zone` to which a record in the folder of an hour of UTC, `2013/04/30/23`, may belong."""
    hour = datetime.strptime(folder, "%Y/%m/%d/%H")
    first, last = ((hour.replace(tzinfo=UTC) + shift).astimezone(zone).date() for shift in (-2 * LOG_SLACK, LOG_SLACK))
    return ((first + timedelta(days=n)).isoformat() for n in range((last - first).days + 1))
