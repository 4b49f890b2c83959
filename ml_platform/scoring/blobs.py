"""A folder of blobs in an Azure storage account: what servers append to in the cloud, by their managed identity."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from ml_platform.scoring.folders import Unreachable

if TYPE_CHECKING:
    from azure.storage.blob import ContainerClient

CONNECT_SECONDS, READ_SECONDS, RETRIES = 3, 10, 2

_PASSING = {401, 403, 404, 408, 429}
"""Refusals that end when somebody grants, makes or waits for something; the others are about the call itself."""


class BlobFolder:
    """The folder at `abfss://container@account.dfs.core.windows.net/path`.

    The credential is the account key or the shared access signature of the environment (AZURE_STORAGE_ACCOUNT_KEY,
    AZURE_STORAGE_SAS_TOKEN), else what DefaultAzureCredential finds; AZURE_STORAGE_ENDPOINT says where the account is
    when that does not follow from its name. One thread at a time.
    """

    def __init__(self, uri: str) -> None:
        self.uri = uri
        parts = urlsplit(uri)
        self._prefix = f"{parts.path.strip('/')}/" if parts.path.strip("/") else ""
        self._container = container_client(uri)
        self._ends: dict[str, int] = {}

    def append(self, name: str, lines: bytes) -> None:
        """See Folder.append: each block goes to the place where the one before has ended, so that none stands twice."""
        from azure.core.exceptions import HttpResponseError, ResourceModifiedError

        with self._told(name):
            blob = self._container.get_blob_client(self._prefix + name)
            if name not in self._ends:
                self._create(blob)
                self._ends[name] = 0
            end = self._ends[name] + len(lines)
            try:
                blob.append_block(lines, length=len(lines), appendpos_condition=self._ends[name])
            except (HttpResponseError, ResourceModifiedError) as error:
                # An attempt before this one was done, and its answer was lost.
                if error.status_code != 412 or blob.get_blob_properties().size != end:
                    raise
            self._ends[name] = end

    def read(self, name: str) -> bytes | None:
        """See Folder.read."""
        from azure.core.exceptions import ResourceNotFoundError

        with self._told(name):
            try:
                return self._container.download_blob(self._prefix + name).readall()
            except ResourceNotFoundError as error:
                if _code(error) == "BlobNotFound":
                    return None
                raise

    def write(self, name: str, content: bytes) -> None:
        """See Folder.write."""
        with self._told(name):
            self._container.upload_blob(self._prefix + name, content, overwrite=True)

    def _create(self, blob: Any) -> None:
        from azure.core.exceptions import ResourceExistsError

        try:
            blob.create_append_blob(if_none_match="*")
        except ResourceExistsError:
            # Made by an attempt whose answer was lost: nobody else writes files of this name.
            return

    @contextmanager
    def _told(self, name: str) -> Iterator[None]:
        from azure.core.exceptions import AzureError, HttpResponseError

        try:
            yield
        except HttpResponseError as error:
            status = error.status_code or 0
            kind = Unreachable if status in _PASSING or status >= 500 or not status else OSError
            raise kind(f"{self.uri}: {name}: {status} {_code(error) or error.reason}") from error
        except AzureError as error:
            raise Unreachable(f"{self.uri}: {name}: {type(error).__name__}: {str(error)[:300]}") from error


def container_client(uri: str) -> "ContainerClient":
    """The container of an abfss:// URI; raises ValueError for a URI without container or account."""
    from azure.storage.blob import ContainerClient, ExponentialRetry

    parts = urlsplit(uri)
    if parts.scheme != "abfss" or not parts.username or not parts.hostname:
        raise ValueError(f"{uri!r} is not like abfss://container@account.dfs.core.windows.net/path")
    account = os.environ.get("AZURE_STORAGE_ENDPOINT") or f"https://{parts.hostname.replace('.dfs.', '.blob.', 1)}"
    return ContainerClient(
        account,
        parts.username,
        credential=_credential(),
        connection_timeout=CONNECT_SECONDS,
        read_timeout=READ_SECONDS,
        retry_policy=ExponentialRetry(initial_backoff=1, increment_base=2, retry_total=RETRIES),
    )


def _credential() -> Any:
    if key := os.environ.get("AZURE_STORAGE_ACCOUNT_KEY"):
        return key
    if sas := os.environ.get("AZURE_STORAGE_SAS_TOKEN"):
        from azure.core.credentials import AzureSasCredential

        return AzureSasCredential(sas)
    from azure.identity import DefaultAzureCredential

    return DefaultAzureCredential()


def _code(error: Any) -> str:
    code = getattr(error, "error_code", None)
    return str(getattr(code, "value", code) or "")
