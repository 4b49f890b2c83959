"""YAML with `${NAME}` in it, which the deployment fills from the outputs of Bicep: read as it will be."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

VARIABLE = re.compile(r"\$\{([A-Z][A-Z0-9_]*)\}")


def documents(path: Path) -> list[Any]:
    """The documents of a file, each variable as a value of the kind that it stands for."""
    return [document for document in yaml.safe_load_all(filled(path.read_text())) if document is not None]


def filled(text: str) -> str:
    """The text with `${LAKE_ACCOUNT}` as `lake-account`: what is a name or an id there is one here."""
    return VARIABLE.sub(lambda found: _sample(found[1]), text)


def _sample(name: str) -> str:
    if name.endswith("VERSION"):
        return "1"
    if name.endswith("_IDENTITY") and name.startswith(("SERVING", "TRAINING")):
        identities = "providers/Microsoft.ManagedIdentity/userAssignedIdentities"
        return f"/subscriptions/0/resourceGroups/rg/{identities}/{name.lower()}"
    return name.lower().replace("_", "-")


def variables(folder: Path) -> Iterator[tuple[Path, str]]:
    """Each variable of each file below a folder."""
    for path in sorted(folder.rglob("*.y*ml")):
        for name in sorted(set(VARIABLE.findall(path.read_text()))):
            yield path, name
