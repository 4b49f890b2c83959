"""The files of a lake in Azure: Data Lake Storage Gen2 or any blob container, abfss://container@account.../path."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from dbx_jobs.contract import Days
from dbx_jobs.object_store import files_between, open_store
from ml_platform.errors import LakeError
from ml_platform.gateways.lake.files import File

if TYPE_CHECKING:
    from obstore.store import ObjectStore


@dataclass(frozen=True)
class BlobFiles:
    """See Files. Asked through the blob interface, which every account has: a PUT is atomic, a folder just a prefix.

    See dbx_jobs.object_store for credentials and for what is tried again.
    """

    uri: str

    def listed(self, folder: str, days: Days | None = None, deep: bool = True) -> list[File]:
        """See Files. One call for each 5,000 files of the range, however many folders they are in."""
        with self._explained(f"listing {folder}"):
            if deep:
                first, last = (days.start, days.end) if days else ("", "")
                return [_file(each) for each in files_between(self._store, folder, first, last)]
            return [_file(each) for each in self._store.list_with_delimiter(folder)["objects"]]

    def read(self, path: str) -> bytes | None:
        """See Files."""
        with self._explained(f"reading {path}"):
            try:
                return bytes(self._store.get(path).bytes())
            except FileNotFoundError as error:
                if _code(error) != "ContainerNotFound":
                    return None
                raise

    def write(self, path: str, content: bytes) -> None:
        """See Files."""
        with self._explained(f"writing {path}"):
            self._store.put(path, content)

    @cached_property
    def _store(self) -> "ObjectStore":
        # obstore gives a URL without an account to Microsoft Fabric.
        if "@" not in urlsplit(self.uri).netloc or (store := open_store(self.uri)) is None:
            raise LakeError(f"{self.uri} names no account: give abfss://container@account.dfs.core.windows.net")
        return store

    @contextmanager
    def _explained(self, doing: str) -> Iterator[None]:
        """Turn what the service refuses into a LakeError that says what to do."""
        from obstore.exceptions import BaseError

        try:
            yield
        except (BaseError, FileNotFoundError) as error:
            raise LakeError(f"{self.uri}: {doing} failed: {_reason(error)}") from error


def _file(found: Any) -> File:
    return File(found["path"], found["size"], str(found["e_tag"] or found["last_modified"]))


def _code(error: Exception) -> str:
    """The service's own code for what is wrong, "" where it did not answer."""
    found = re.search(r"<Code>(\w+)</Code>", str(error))
    return found[1] if found else ""


def _reason(error: Exception) -> str:
    code = _code(error)
    if code == "ContainerNotFound":
        return "ContainerNotFound: create the container, or correct ML_PLATFORM_LAKE_URI"
    if code.startswith("Auth") or "token request" in str(error) or type(error).__name__ == "UnauthenticatedError":
        return (
            f"{code or 'no token was given'}: this identity needs the role Storage Blob Data Contributor on the account"
            ", or the environment holds the wrong credential (AZURE_STORAGE_ACCOUNT_KEY, AZURE_STORAGE_SAS_TOKEN, "
            "AZURE_CLIENT_ID with AZURE_CLIENT_SECRET or AZURE_FEDERATED_TOKEN_FILE, IDENTITY_ENDPOINT)"
        )
    told = code or str(error).partition("\n")[0]
    return f"{told}: see whether the account is there and reachable from here, and do it again"
