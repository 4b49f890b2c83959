"""Dagster Pipes over blobs of the lake, on Dagster's side; `ml_platform.training.transport` is the program's.

A folder belongs to one remote job, whoever asks: a run that finds the job of a lost one reads its messages anew.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Any

import dagster as dg
from dagster._core.pipes.context import PipesMessageHandler
from dagster_pipes import PIPES_PROTOCOL_VERSION_FIELD, PipesContextData, PipesParams

from ml_platform.training.blobs import open_container
from ml_platform.training.transport import CONTEXT_FILE, FOLDER_PARAM, LAKE_PARAM, MESSAGES_FOLDER

if TYPE_CHECKING:
    from azure.storage.blob import ContainerClient


class LakeContextInjector(dg.PipesContextInjector):
    """Leaves what is asked in the folder."""

    def __init__(self, lake: str, folder: str) -> None:
        self._lake, self._folder = lake, folder

    @contextmanager
    def inject_context(self, context_data: PipesContextData) -> Iterator[PipesParams]:
        """See PipesContextInjector."""
        with open_container(self._lake) as container:
            name = f"{self._folder}/{CONTEXT_FILE}"
            container.upload_blob(name, json.dumps(context_data).encode(), overwrite=True)
        # It stays: the job may begin after this process has ended. The lake's rules remove old folders.
        yield {LAKE_PARAM: self._lake, FOLDER_PARAM: self._folder}

    def no_messages_debug_text(self) -> str:
        """See PipesContextInjector."""
        return f"What the program is asked lies in {self._folder}/{CONTEXT_FILE} of {self._lake}."


class LakeMessageReader(dg.PipesMessageReader):
    """Reads what the program told, when it is asked to and once at the end.

    Dagster's own reads in a thread, takes an error of the store for no message, and for 10 s waits for messages of a
    program that was killed.
    """

    def __init__(self, lake: str, folder: str) -> None:
        self._lake, self._folder = lake, folder
        self._read: set[str] = set()
        self._handler: PipesMessageHandler | None = None

    @contextmanager
    def read_messages(self, handler: PipesMessageHandler) -> Iterator[PipesParams]:
        """See PipesMessageReader."""
        self._handler = handler
        yield {LAKE_PARAM: self._lake, FOLDER_PARAM: self._folder}

    def read(self) -> None:
        """Hand on what was told since the last look."""
        prefix = f"{self._folder}/{MESSAGES_FOLDER}/"
        for name in sorted(blob.name for blob in self._container.list_blobs(prefix)):
            if name not in self._read:
                for line in self._container.download_blob(name).readall().decode().splitlines():
                    self._hand_on(json.loads(line))
                self._read.add(name)

    def on_opened(self, opened_payload: Any) -> None:
        """See PipesMessageReader."""

    def no_messages_debug_text(self) -> str:
        """See PipesMessageReader."""
        return f"What the program tells comes to {self._folder}/{MESSAGES_FOLDER} of {self._lake}."

    @cached_property
    def _container(self) -> "ContainerClient":
        return open_container(self._lake)

    def _hand_on(self, message: Any) -> None:
        assert self._handler, "messages are read inside a Pipes session"
        if PIPES_PROTOCOL_VERSION_FIELD in message:
            self._handler.handle_message(message)
