"""The workspace's own storage account: containers and blobs as folders and files, and the SAS that let into them."""

import base64
import hashlib
import hmac
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlencode

from starlette.requests import Request

OWN_ACCOUNT, OWN_CONTAINER, ARTIFACTS = "stworkspace", "azureml-blobstore", "azureml"
HOST = f"{OWN_ACCOUNT}.blob.core.windows.net"
VERSION = "2021-08-06"


class BlobRefused(Exception):
    """An error of the blob service: XML and `x-ms-error-code`."""

    def __init__(self, status: int, code: str) -> None:
        self.status, self.code = status, code
        super().__init__(code)


@dataclass(frozen=True)
class Blobs:
    """Containers and blobs as folders and files below `folder`; `address` is the service's, `key` signs."""

    folder: Path
    address: str
    key: str

    def container(self, name: str) -> str:
        """The URL of a container, which is there from now on."""
        (self.folder / name).mkdir(parents=True, exist_ok=True)
        return f"{self.address}/{HOST}/{name}"

    def path(self, container: str, blob: str = "") -> Path:
        """Where a blob's content stands; refuses a name that leads out of its container."""
        root = (self.folder / container).resolve()
        found = (root / blob).resolve()
        if not found.is_relative_to(root):
            raise BlobRefused(400, "InvalidUri")
        return found

    def names(self, container: str, prefix: str = "") -> list[str]:
        """The blobs of a container by name."""
        root = self.folder / container
        every = [str(each.relative_to(root)) for each in root.rglob("*") if each.is_file()]
        return sorted(each for each in every if each.startswith(prefix))

    def sas(self, container: str, permissions: str, seconds: int = 3600) -> str:
        """A query that lets its holder into one container for a time."""
        ends = (datetime.now(UTC) + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")
        query = {"sv": VERSION, "sr": "c", "spr": "https", "se": ends, "sp": permissions}
        return urlencode(query | {"sig": self._signature(container, ends, permissions)})

    def allow(self, request: Request, container: str, permission: str) -> None:
        """Refuse a request whose SAS is missing, wrong, expired or not for this."""
        query = request.query_params
        ends, permissions = query.get("se", ""), query.get("sp", "")
        if not hmac.compare_digest(query.get("sig", ""), self._signature(container, ends, permissions)):
            raise BlobRefused(403, "AuthenticationFailed")
        if datetime.fromisoformat(ends) < datetime.now(UTC):
            raise BlobRefused(403, "AuthenticationFailed")
        if not set(permission) & set(permissions):
            raise BlobRefused(403, "AuthorizationPermissionMismatch")

    def _signature(self, *parts: str) -> str:
        digest = hmac.new(self.key.encode(), "\n".join(parts).encode(), hashlib.sha256).digest()
        return base64.b64encode(digest).decode()
