"""Holds bodies against Microsoft's published resource types: ML_PLATFORM_SPECS/azure/bicep-<api-version>.json."""

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

from ml_platform_tests.emulators.arm.bicep_types import READ_ONLY, Direction, Type, Types

NAMESPACE = "Microsoft.MachineLearningServices/workspaces"
# Part of the address, not of a body that is sent.
ADDRESS = {"id", "name", "type", "apiVersion"}
# The SDK sends an integer where the published type says string, and the service takes it.
EXCEPTIONS = {
    ("codes/versions", "properties.properties.hash_version"),
    # Bicep knows no fractions: the service's own specification says number, format float.
    ("jobs", "properties.earlyTermination.slackFactor"),
    ("jobs", "properties.earlyTermination.slackAmount"),
}


@cache
def types_of(folder: Path, version: str) -> Types | None:
    """The types of an API version, None if none are published under that name."""
    file = folder / "azure" / f"bicep-{version}.json"
    return Types(json.loads(file.read_text())) if file.exists() else None


@dataclass(frozen=True)
class Published:
    """The contracts in a folder; without a folder nothing is checked. Types are named below `workspaces`."""

    folder: Path | None

    def knows(self, kind: str, version: str) -> bool:
        """Whether the API version is published for a type; true of all where no contracts are given."""
        types = types_of(self.folder, version) if self.folder else None
        return self.folder is None or bool(types and _full(kind) in types.resources)

    def shown(self, kind: str, version: str, body: dict[str, Any]) -> dict[str, Any]:
        """A resource without what its type does not know in that version, as the service shows it."""
        types = types_of(self.folder, version) if self.folder else None
        declared = types.resources.get(_full(kind)) if types else None
        return types.pruned(declared, body) if types and declared else body

    def request(self, kind: str, version: str, body: dict[str, Any]) -> list[str]:
        """What contradicts the type in a body that is PUT. `kind`: "" for the workspace, "models/versions", ..."""
        return self._resource(kind, version, body, "sent")

    def answer(self, kind: str, version: str, body: dict[str, Any]) -> list[str]:
        """What contradicts the type in a resource that is answered."""
        return self._resource(kind, version, body, "answered")

    def action(self, kind: str, name: str, version: str, body: Any, side: Literal["input", "output"]) -> list[str]:
        """What contradicts the type in the body or answer of a POST to a resource (`listKeys`, ...).

        Actions are not published for each type and version: those that are not are not checked.
        """
        types = types_of(self.folder, version) if self.folder else None
        declared = types.actions.get((_full(kind), name.lower())) if types else None
        if types is None or declared is None or side not in declared:
            return []
        return types.problems(types.at(declared[side]), body, "", "sent" if side == "input" else "answered")

    def _resource(self, kind: str, version: str, body: dict[str, Any], direction: Direction) -> list[str]:
        if self.folder is None:
            return []
        types = types_of(self.folder, version)
        declared = types.resources.get(_full(kind)) if types else None
        if types is None or declared is None:
            return [f"the API version {version!r} is not published for {_full(kind)}"]
        declared = _addressed(declared) if direction == "sent" else declared
        found = types.problems(declared, body, "", direction)
        return [each for each in found if not any(kind == k and each.startswith(f"{p} ") for k, p in EXCEPTIONS)]


def _full(kind: str) -> str:
    return f"{NAMESPACE}/{kind}".rstrip("/").lower()


def _addressed(declared: Type) -> Type:
    """The type of a body that is sent: the address says its name and type, so it need not and may not."""
    key = "properties" if "properties" in declared else "baseProperties"
    flags = {name: each | {"flags": READ_ONLY} for name, each in declared[key].items() if name in ADDRESS}
    return declared | {key: declared[key] | flags}
