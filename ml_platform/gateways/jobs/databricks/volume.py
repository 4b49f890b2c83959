"""Pipes over a folder of a volume that is known beforehand, so that another process can read it to its end."""

import io
import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import dagster as dg
from dagster_databricks.pipes import PipesUnityCatalogVolumesMessageReader
from databricks.sdk import WorkspaceClient
from databricks.sdk.errors import NotFound

from ml_platform.gateways.jobs.databricks.client import steadily

if TYPE_CHECKING:
    from dagster_pipes import PipesContextData, PipesParams

READ_SECONDS = 5
"""Less than the ten seconds in which a program collects what it says."""


class VolumeFiles:
    """The files of a volume, by absolute path."""

    def __init__(self, client: WorkspaceClient) -> None:
        self._files = client.files

    def make_folder(self, path: str) -> None:
        """Make a folder and those above it, unless they are there."""
        steadily(self._files.create_directory, path)

    def write(self, path: str, content: bytes) -> None:
        """Write a file in a folder that is there, over the one before."""
        # A stream of its own for each attempt: after one that failed there is nothing left to read.
        steadily(lambda: self._files.upload(path, io.BytesIO(content), overwrite=True))

    def read(self, path: str) -> bytes | None:
        """What a file holds; None where there is none."""
        try:
            answer = steadily(self._files.download, path)
        except NotFound:
            return None
        return answer.contents.read() if answer.contents else None

    def exists(self, path: str) -> bool:
        """Whether there is a file of this path."""
        try:
            steadily(self._files.get_metadata, path)
        except NotFound:
            return False
        return True

    def entries(self, folder: str) -> list[tuple[str, bool]]:
        """The names in a folder, and whether each is a folder; none where it is not there."""
        try:
            found = steadily(lambda: list(self._files.list_directory_contents(folder)))
        except NotFound:
            return []
        return [(entry.name or "", bool(entry.is_directory)) for entry in found]

    def remove(self, folder: str) -> None:
        """Remove a folder and all in it; what another process removes meanwhile is no matter."""
        for name, is_folder in self.entries(folder):
            if is_folder:
                self.remove(f"{folder}/{name}")
            else:
                self._gone(self._files.delete, f"{folder}/{name}")
        self._gone(self._files.delete_directory, folder)

    @staticmethod
    def _gone(removal: Any, path: str) -> None:
        try:
            steadily(removal, path)
        except NotFound:
            return


class VolumeContext(dg.PipesContextInjector):
    """Writes what a program is asked to `<folder>/context.json`."""

    def __init__(self, files: VolumeFiles, folder: str) -> None:
        self._files, self._folder = files, folder

    @contextmanager
    def inject_context(self, context_data: "PipesContextData") -> "Iterator[PipesParams]":
        """The parameters with which a program finds it."""
        path = f"{self._folder}/context.json"
        self._files.write(path, json.dumps(context_data).encode())
        yield {"path": path}

    def no_messages_debug_text(self) -> str:
        """What is said when a program never answers."""
        return f"The program was to read {self._folder}/context.json."


class VolumeMessages(PipesUnityCatalogVolumesMessageReader):
    """Reads what a program says in `<folder>/messages`, from the first word on."""

    def __init__(self, client: WorkspaceClient, files: VolumeFiles, folder: str) -> None:
        super().__init__(interval=READ_SECONDS, client=client, volume_path=folder, include_stdio_in_messages=False)
        self._files = files

    @contextmanager
    def get_params(self) -> "Iterator[PipesParams]":
        """The parameters with which a program finds the folder; it stays, for whoever has to read it again."""
        yield {"path": f"{self.volume_path}/messages", "include_stdio_in_messages": False}

    def download_messages(self, cursor: Any, params: "PipesParams") -> tuple[int, str] | None:
        """All chunks since the last that was read.

        The base class reads one a second, and for ten seconds after the end: the report of a run that is found again
        would be lost behind its log.
        """
        chunks = []
        while chunk := self.download_messages_chunk(self.counter, params):
            self.counter += 1
            chunks.append(chunk)
        return (self.counter, "\n".join(chunks)) if chunks else None

    def download_messages_chunk(self, index: int, params: "PipesParams") -> str | None:
        """A chunk, None where it is not there yet; the base class takes every error for that."""
        content = self._files.read(f"{params['path']}/{index}.json")
        return content.decode() if content else None
