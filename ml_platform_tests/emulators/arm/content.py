"""Finds what an `azureml://` address names, and brings it to a folder of this machine: for inputs and models.

azureml://.../datastores/NAME/paths/PATH. The workspace's own datastores stand in its blob store. The lake's account is
at AZURE_STORAGE_ENDPOINT, reached with AZURE_STORAGE_ACCOUNT_KEY if there is one, else as the workspace's own identity.
"""

import asyncio
import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ml_platform_tests.emulators.arm.answers import invalid
from ml_platform_tests.emulators.arm.blob_store import OWN_ACCOUNT
from ml_platform_tests.emulators.arm.state import Arm
from ml_platform_tests.emulators.identity import Identity

if TYPE_CHECKING:
    from azure.core.credentials import AccessToken
    from azure.storage.blob import ContainerClient

ADDRESS = re.compile(r"azureml:/(?:/.*)?/datastores/([^/]+)/paths/(.*)")


async def download(arm: Arm, uri: str, target: Path) -> Path:
    """Bring a folder (or one file) into `target`; nothing there is the service's 400."""
    container, path, own = _place(arm, uri)
    target.mkdir(parents=True, exist_ok=True)
    if own:
        found = _copy(arm.blobs.path(container, path.rstrip("/")), target)
    else:
        found = await asyncio.to_thread(_fetch, arm, container, path.rstrip("/"), target)
    if not found:
        raise invalid(f"{uri}: there is nothing at that path")
    return target


async def upload(arm: Arm, source: Path, uri: str) -> None:
    """Bring all files of a folder to an address: outputs of jobs, collected data."""
    container, path, own = _place(arm, uri)
    if own:
        shutil.copytree(source, arm.blobs.path(container, path.rstrip("/")), dirs_exist_ok=True)
    else:
        await asyncio.to_thread(_send, arm, container, path.rstrip("/"), source)


def _place(arm: Arm, uri: str) -> tuple[str, str, bool]:
    """Container and path of an address, and whether the workspace's own account has it."""
    parts = ADDRESS.fullmatch(uri)
    if not parts:
        code = re.fullmatch(rf"{re.escape(arm.blobs.container(''))}([^/]+)/?(.*)", uri)
        if code:  # what a SAS upload left: the URL of a container and a folder in it
            return code[1], code[2], True
        raise invalid(f"{uri} is no path of the workspace: azureml://datastores/NAME/paths/PATH")
    datastore = arm.store.find("datastores", (parts[1],))
    if datastore is None:
        raise invalid(f"{uri}: the workspace has no datastore {parts[1]!r}")
    properties = datastore.properties
    return properties["containerName"], parts[2], properties["accountName"] == OWN_ACCOUNT


def _copy(source: Path, target: Path) -> bool:
    if source.is_file():
        shutil.copy(source, target)
    elif source.is_dir():
        shutil.copytree(source, target, dirs_exist_ok=True)
    return source.exists()


@dataclass(frozen=True)
class WorkspaceIdentity:
    """The workspace's own managed identity, as a credential of azure-storage-blob."""

    identity: Identity

    def get_token(self, *scopes: str, **_: Any) -> "AccessToken":
        from azure.core.credentials import AccessToken

        return AccessToken(*self.identity.issue(scopes[0].removesuffix("/.default")))


def _lake(arm: Arm, container: str) -> "ContainerClient":
    from azure.storage.blob import ContainerClient

    credential = os.environ.get("AZURE_STORAGE_ACCOUNT_KEY") or WorkspaceIdentity(arm.identity)
    return ContainerClient(os.environ["AZURE_STORAGE_ENDPOINT"], container, credential=credential)


def _fetch(arm: Arm, container: str, path: str, target: Path) -> bool:
    found = False
    with _lake(arm, container) as client:
        for name in client.list_blob_names(name_starts_with=path):
            inside = name.removeprefix(path).lstrip("/") or Path(name).name
            if name != path and not name.startswith(f"{path}/"):
                continue
            found = True
            (target / inside).parent.mkdir(parents=True, exist_ok=True)
            (target / inside).write_bytes(client.download_blob(name).readall())
    return found


def _send(arm: Arm, container: str, path: str, source: Path) -> None:
    with _lake(arm, container) as client:
        for file in [each for each in source.rglob("*") if each.is_file()]:
            client.upload_blob(f"{path}/{file.relative_to(source)}", file.read_bytes(), overwrite=True)
