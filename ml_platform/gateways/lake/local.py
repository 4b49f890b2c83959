"""The files of a lake on this machine, file://."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from urllib.parse import urlparse
from urllib.request import url2pathname

from dbx_jobs.contract import Days
from ml_platform.errors import LakeError
from ml_platform.gateways.lake.files import File
from ml_platform.scoring.folders import LocalFolder

FOLDERS_AT_ONCE = 31
"""A longer range of days is found by listing all days at once."""


def local_path(uri: str) -> Path:
    """The folder behind a file:// URI; raises LakeError for any other."""
    parsed = urlparse(uri)
    if parsed.scheme != "file":
        raise LakeError(
            f"{uri} is not on this machine, as what is asked for needs: set ML_PLATFORM_LAKE_URI to file://..."
        )
    return Path(url2pathname(parsed.path))


def day_folders(folder: str, days: Days | None) -> list[str]:
    """Where to look for the files of `days`: in the folder of each, or in all that there are when they are many."""
    if days is None:
        return [folder]
    first, last = date.fromisoformat(days.start), date.fromisoformat(days.end)
    count = (last - first).days + 1
    return [f"{folder}/{first + timedelta(days=n)}" for n in range(count)] if count <= FOLDERS_AT_ONCE else [folder]


@dataclass(frozen=True)
class LocalFiles:
    """See Files. Files are renamed into place, so that they appear whole."""

    root: Path

    def listed(self, folder: str, days: Days | None = None, deep: bool = True) -> list[File]:
        """See Files."""
        return [file for each in day_folders(folder, days) for file in self._below(each, deep)]

    def read(self, path: str) -> bytes | None:
        """See Files."""
        return LocalFolder(self.root).read(path)

    def write(self, path: str, content: bytes) -> None:
        """See Files."""
        LocalFolder(self.root).write(path, content)

    def _below(self, folder: str, deep: bool) -> Iterator[File]:
        try:
            entries = sorted(os.scandir(self.root / folder), key=lambda entry: entry.name)
        except (FileNotFoundError, NotADirectoryError):
            return
        for entry in entries:
            path = f"{folder}/{entry.name}"
            if entry.is_dir():
                yield from self._below(path, deep) if deep else ()
            elif (file := _file(path, entry)) is not None:
                yield file


def _file(path: str, entry: "os.DirEntry[str]") -> File | None:
    try:
        found = entry.stat()
    except FileNotFoundError:  # renamed or removed since the folder was read
        return None
    return File(path, found.st_size, str(found.st_mtime))
