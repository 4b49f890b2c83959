"""What the emulated workspace holds: resources by id, and everything that a route needs."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ml_platform_tests.emulators.arm.answers import not_found
from ml_platform_tests.emulators.arm.blob_store import Blobs
from ml_platform_tests.emulators.arm.mlflow_server import MlflowServer
from ml_platform_tests.emulators.arm.operations import Operations
from ml_platform_tests.emulators.arm.programs import Programs
from ml_platform_tests.emulators.arm.published import NAMESPACE, Published
from ml_platform_tests.emulators.identity import PRINCIPAL, Identity
from ml_platform_tests.emulators.recording import Record


def now() -> str:
    """ARM's form of an instant."""
    return datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


@dataclass
class Resource:
    """One resource. `kind` is its type below the workspace ("models/versions"), `names` one name a part of it."""

    kind: str
    names: tuple[str, ...]
    properties: dict[str, Any]
    extra: dict[str, Any] = field(default_factory=dict)  # tags, location, identity, sku, kind: beside the properties
    hidden: dict[str, Any] = field(default_factory=dict)  # what no answer shows: keys, processes, folders
    created: str = field(default_factory=now)
    modified: str = field(default_factory=now)

    @property
    def path(self) -> str:
        """Below the workspace: `models/flight_delays/versions/1`."""
        return path_of(self.kind, self.names)

    @property
    def system_data(self) -> dict[str, str]:
        who = {"createdBy": PRINCIPAL, "createdByType": "Application"}
        changed = {"lastModifiedAt": self.modified, "lastModifiedBy": PRINCIPAL, "lastModifiedByType": "Application"}
        return {"createdAt": self.created, **who, **changed}


def path_of(kind: str, names: tuple[str, ...]) -> str:
    return "/".join(part for pair in zip(kind.split("/") if kind else [], names, strict=True) for part in pair)


@dataclass
class Store:
    """Resources by their path below the workspace; paths are compared without case, as ARM does."""

    resources: dict[str, Resource] = field(default_factory=dict)

    def find(self, kind: str, names: tuple[str, ...]) -> Resource | None:
        return self.resources.get(path_of(kind, names).lower())

    def get(self, kind: str, names: tuple[str, ...]) -> Resource:
        """The resource, or the service's 404."""
        found = self.find(kind, names)
        if found is None:
            raise not_found(f"{NAMESPACE}/{path_of(kind, names)}")
        return found

    def put(self, resource: Resource) -> Resource:
        """Create it, or replace what is there and keep when that was created."""
        old = self.resources.get(resource.path.lower())
        if old:
            resource.created, resource.hidden = old.created, old.hidden | resource.hidden
        self.resources[resource.path.lower()] = resource
        return resource

    def delete(self, resource: Resource) -> None:
        """Delete it and what is below."""
        path = resource.path.lower()
        for each in [name for name in self.resources if name == path or name.startswith(f"{path}/")]:
            del self.resources[each]

    def below(self, kind: str, names: tuple[str, ...]) -> list[Resource]:
        """All of a kind under a parent's names, newest first."""
        found = [each for each in self.resources.values() if each.kind == kind]
        lower = tuple(name.lower() for name in names)
        mine = [each for each in found if tuple(n.lower() for n in each.names[: len(names)]) == lower]
        return sorted(mine, key=lambda each: each.created, reverse=True)


@dataclass
class Workspace:
    """Where the workspace stands and what belongs to it."""

    subscription: str = "11111111-2222-3333-4444-555555555555"
    group: str = "rg-loopback"
    name: str = "ws-loopback"
    guid: str = "99999999-8888-7777-6666-555555555555"
    region: str = "westeurope"
    account: str = "devstoreaccount1"
    container: str = "lake"
    datastore: str = "lake"
    blob_endpoint: str = ""  # of the account, path style: http://127.0.0.1:10000/devstoreaccount1

    @property
    def id(self) -> str:
        return f"/subscriptions/{self.subscription}/resourceGroups/{self.group}/providers/{NAMESPACE}/{self.name}"

    def path(self, datastore: str, path: str) -> str:
        """The full address of a path in a datastore, as the service writes it."""
        place = f"subscriptions/{self.subscription}/resourceGroups/{self.group}/workspaces/{self.name}"
        return f"azureml://{place}/datastores/{datastore}/paths/{path}"


@dataclass
class Arm:
    """The emulated service: reached by each route as `request.app.state.arm`."""

    folder: Path
    address: str
    workspace: Workspace
    identity: Identity
    record: Record
    published: Published
    programs: Programs
    blobs: Blobs
    mlflow: MlflowServer
    plain_address: str = ""  # without TLS: where managed identities are
    front_end: str = ""  # the address of the front end of all endpoints
    operations: Operations = field(default_factory=Operations)
    store: Store = field(default_factory=Store)
