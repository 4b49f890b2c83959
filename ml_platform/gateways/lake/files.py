"""What the lake asks of the place where its files are."""

from dataclasses import dataclass
from typing import Protocol

from dbx_jobs.contract import Days


@dataclass(frozen=True)
class File:
    """One file. `path` is relative to the lake's root; `tag` changes with each write."""

    path: str
    size: int
    tag: str

    @property
    def name(self) -> str:
        """The last part of the path."""
        return self.path.rpartition("/")[2]


class Files(Protocol):
    """The files of a lake by their paths relative to its root. Raises LakeError where the place cannot be asked."""

    def listed(self, folder: str, days: Days | None = None, deep: bool = True) -> list[File]:
        """The files below a folder (not `deep`: right in it); none when there is no such folder.

        `days` spares the look at folders named by days outside of them; some may be given all the same.
        """
        ...

    def read(self, path: str) -> bytes | None:
        """The content of a file, None where there is none."""
        ...

    def write(self, path: str, content: bytes) -> None:
        """Write or replace a file: whoever looks finds the one before or all of this one."""
        ...
