"""Dagster Pipes over blobs of the lake, on the program's side: where no folder is shared with the one who asks.

What is asked lies at `<folder>/context.json`; what is told comes in files `<folder>/messages/<writer>/<number>.json`,
a JSON line a message. Each process writes under a name of its own: one that was preempted starts anew.
"""

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from io import StringIO
from typing import IO, Any
from uuid import uuid4

from dagster_pipes import (
    PipesBlobStoreMessageWriter,
    PipesBlobStoreMessageWriterChannel,
    PipesContextData,
    PipesContextLoader,
    PipesEnvVarParamsLoader,
    PipesParams,
)

from ml_platform.training.blobs import open_container

LAKE_PARAM, FOLDER_PARAM = "lake", "folder"
"""Pipes parameters, of the context and of the messages alike: the URI of the lake and a folder in its container."""

CONTEXT_FILE, MESSAGES_FOLDER = "context.json", "messages"
UPLOAD_SECONDS = 2.0


class LakeContextLoader(PipesContextLoader):
    """Loads what is asked from the lake."""

    @contextmanager
    def load_context(self, params: PipesParams) -> Iterator[PipesContextData]:
        """See PipesContextLoader."""
        with open_container(params[LAKE_PARAM]) as container:
            yield json.loads(container.download_blob(f"{params[FOLDER_PARAM]}/{CONTEXT_FILE}").readall())


class LakeMessageWriter(PipesBlobStoreMessageWriter["LakeMessageChannel"]):
    """Writes messages into the lake, some at a time."""

    def make_channel(self, params: PipesParams) -> "LakeMessageChannel":
        """See PipesBlobStoreMessageWriter."""
        return LakeMessageChannel(params[LAKE_PARAM], params[FOLDER_PARAM], interval=self.interval)


class LakeMessageChannel(PipesBlobStoreMessageWriterChannel):
    """The files of one process."""

    def __init__(self, lake: str, folder: str, interval: float) -> None:
        super().__init__(interval=interval)
        self._container = open_container(lake)
        writer = f"{time.strftime('%Y%m%dT%H%M%S', time.gmtime())}-{uuid4().hex}"  # names sort as they began
        self._folder = f"{folder}/{MESSAGES_FOLDER}/{writer}"

    def upload_messages_chunk(self, payload: StringIO | IO[Any], index: int) -> None:
        """See PipesBlobStoreMessageWriterChannel."""
        # Overwrites: a repeated call whose first answer was lost must not fail.
        self._container.upload_blob(f"{self._folder}/{index:06}.json", payload.read().encode(), overwrite=True)


def pipes_options() -> Mapping[str, Any]:
    """The arguments of `open_dagster_pipes` in this process: those of the lake where its parameters name one."""
    params = PipesEnvVarParamsLoader()
    if not params.is_dagster_pipes_process() or LAKE_PARAM not in params.load_context_params():
        return {}
    return {"context_loader": LakeContextLoader(), "message_writer": LakeMessageWriter(interval=UPLOAD_SECONDS)}
