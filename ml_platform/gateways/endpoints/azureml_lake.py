"""The documents of a cloud endpoint in the lake: who deploys, which deployments log, and what instances count."""

import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import msgspec

from ml_platform.errors import EndpointError
from ml_platform.scoring.blobs import container_client
from ml_platform.scoring.container_contract import ROLES_FILE, Roles, Told, endpoint_folder, told_folder
from ml_platform.scoring.measures import Counts

LOCK_FILE = "deploy.lock"
LEASE_SECONDS = 15
"""The least that the service grants: so long a deploy that was killed keeps others waiting."""
LOOK_SECONDS = 0.3


class EndpointDocuments:
    """The folder `endpoints/{name}` of a lake (abfss://)."""

    def __init__(self, lake: str, name: str) -> None:
        self._name = name
        self._container = container_client(lake)
        self._folder = endpoint_folder(lake, name).split("/", 3)[3]

    @contextmanager
    def locked(self, seconds: float) -> Iterator["Lease"]:
        """Be the only one who deploys; raises EndpointError when another one does for `seconds`."""
        with self._told():
            blob = self._container.get_blob_client(f"{self._folder}/{LOCK_FILE}")
            lease = Lease(self._name, _acquired(blob, self._name, time.monotonic() + seconds))
        try:
            yield lease
        finally:
            lease.release()

    def roles(self) -> Roles:
        """Who answers callers, by the last word."""
        content = self._read(ROLES_FILE)
        return msgspec.json.decode(content, type=Roles) if content else Roles(0, ())

    def write_roles(self, roles: Roles) -> None:
        """Let instances know; `followed` tells when they do."""
        self._write(ROLES_FILE, msgspec.json.encode(roles))

    def told(self, deployment: str, counted_as: str) -> dict[str, Told]:
        """What each instance of a deployment's model version has told, also one that has ended, by its name."""
        from azure.core.exceptions import ResourceNotFoundError

        found: dict[str, Told] = {}
        with self._told():
            prefix = f"{self._folder}/{told_folder(deployment)}"
            for name in self._container.list_blob_names(name_starts_with=prefix):
                with suppress(ResourceNotFoundError):
                    content = self._container.download_blob(name).readall()
                    found[name] = msgspec.json.decode(content, type=Told)
        return {name: told for name, told in found.items() if told.counted_as == counted_as}

    def counts(self, deployment: str, counted_as: str) -> Counts:
        """What a deployment of a model version has answered and mirrored, all its instances together."""
        total = Counts()
        for each in self.told(deployment, counted_as).values():
            for found in (each.measures.live, each.measures.shadow):
                total = total.plus(found.get(counted_as, Counts()))
        return total

    def forget(self, deployment: str = "") -> None:
        """Remove what the instances of a deployment have told; without one, all of the endpoint."""
        prefix = f"{self._folder}/{told_folder(deployment) if deployment else ''}"
        with self._told():
            for name in list(self._container.list_blob_names(name_starts_with=prefix)):
                # The lock is held by who forgets.
                if not name.endswith(LOCK_FILE):
                    self._container.delete_blob(name)

    def _read(self, name: str) -> bytes | None:
        from azure.core.exceptions import ResourceNotFoundError

        with self._told():
            try:
                return self._container.download_blob(f"{self._folder}/{name}").readall()
            except ResourceNotFoundError:
                return None

    def _write(self, name: str, content: bytes) -> None:
        with self._told():
            self._container.upload_blob(f"{self._folder}/{name}", content, overwrite=True)

    @contextmanager
    def _told(self) -> Iterator[None]:
        from azure.core.exceptions import AzureError

        try:
            yield
        except AzureError as error:
            place = f"{self._container.container_name}/{self._folder}"
            raise EndpointError(
                f"endpoint {self._name!r}: the lake's folder {place} cannot be used: {str(error)[:300]}; see that it "
                "is there and that this identity has the role Storage Blob Data Contributor on it"
            ) from error


class Lease:
    """A lock that the service holds for as long as it is renewed."""

    def __init__(self, name: str, lease: Any) -> None:
        self._name, self._lease, self._lost = name, lease, ""
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._renew, name="deploy-lease", daemon=True)
        self._thread.start()

    def check(self) -> None:
        """Raise EndpointError when somebody else may deploy by now."""
        if self._lost:
            raise EndpointError(f"the lock on endpoint {self._name!r} was lost: {self._lost}; deploy again")

    def release(self) -> None:
        """Let the next one deploy."""
        from azure.core.exceptions import AzureError

        self._ended.set()
        self._thread.join()
        # Else it ends by itself.
        with suppress(AzureError):
            self._lease.release()

    def _renew(self) -> None:
        from azure.core.exceptions import AzureError

        ends = time.monotonic() + LEASE_SECONDS
        while not self._ended.wait(LEASE_SECONDS / 3):
            try:
                self._lease.renew(timeout=LEASE_SECONDS // 3)
                ends = time.monotonic() + LEASE_SECONDS
            except AzureError as error:
                if time.monotonic() > ends - LEASE_SECONDS / 3:
                    self._lost = str(error)[:200]
                    return


def _acquired(blob: Any, name: str, deadline: float) -> Any:
    from azure.core.exceptions import HttpResponseError, ResourceExistsError, ResourceModifiedError

    # It is there already, held by somebody or not.
    with suppress(ResourceExistsError, ResourceModifiedError):
        blob.upload_blob(b"", if_none_match="*")
    while True:
        try:
            return blob.acquire_lease(lease_duration=LEASE_SECONDS, lease_id=str(uuid.uuid4()))
        except HttpResponseError as error:
            if error.status_code != 409:
                raise
            if time.monotonic() > deadline:
                raise EndpointError(f"another deploy of {name!r} does not end; wait for it, or end it") from error
            time.sleep(LOOK_SECONDS)
