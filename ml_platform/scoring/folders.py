"""Where a server appends lines and keeps small documents: a directory, or a folder of blobs in a lake."""

from pathlib import Path
from typing import Protocol
from urllib.parse import unquote, urlsplit
from uuid import uuid4

MAX_APPEND_BYTES = 4 * 1024 * 1024
"""Of one append; a block of an append blob is as large in every version of the service."""


class Unreachable(OSError):
    """A folder does not answer at present; the message says which, and why."""


class Folder(Protocol):
    """Names are relative, with slashes. Every method raises Unreachable, or OSError for what will not pass."""

    def append(self, name: str, lines: bytes) -> None:
        """Append whole lines or nothing; after Unreachable the same lines may be given again, and stand there once."""
        ...

    def read(self, name: str) -> bytes | None:
        """A document; None when there is none."""
        ...

    def write(self, name: str, content: bytes) -> None:
        """Replace a document as a whole."""
        ...


def open_folder(location: str) -> Folder:
    """The folder that a path, a file:// or an abfss:// URI names; raises ValueError for any other scheme."""
    parts = urlsplit(location)
    if parts.scheme == "abfss":
        # Not imported by who has a directory.
        from ml_platform.scoring.blobs import BlobFolder

        return BlobFolder(location)
    if parts.scheme not in ("", "file"):
        raise ValueError(f"the folder {location!r} is neither a directory nor a file:// or abfss:// URI")
    return LocalFolder(Path(unquote(parts.path)) if parts.scheme else Path(location))


class LocalFolder:
    """A directory, made with the first file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def append(self, name: str, lines: bytes) -> None:
        """See Folder.append: a full disk leaves no torn line for later ones to follow."""
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab", buffering=0) as file:
            start, written = file.tell(), 0
            try:
                while written < len(lines):
                    written += file.write(lines[written:])
            except OSError:
                file.truncate(start)
                raise

    def read(self, name: str) -> bytes | None:
        """See Folder.read."""
        try:
            return (self.path / name).read_bytes()
        except FileNotFoundError:
            return None

    def write(self, name: str, content: bytes) -> None:
        """See Folder.write."""
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        # Hidden, and named once: nobody takes it for the document, and two writers do not meet in it.
        scratch = path.with_name(f".{path.name}.{uuid4().hex}.part")
        scratch.write_bytes(content)
        scratch.replace(path)
