"""The types that Azure publishes for Bicep (bicep-types-az), read from a folder of them.

Format: https://github.com/Azure/bicep-types (types.json). Flags of a property: 1 required, 2 read-only.
"""

import json
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

from ml_platform_tests.deployments.shapes import Anything, Items, Property, Record, Scalar, Shape, Variants, Words

REQUIRED, READ_ONLY = 1, 2


def resource_shape(folder: Path, kind: str, version: str) -> Shape | None:
    """The type of a resource's body, None where the folder has none of that version."""
    file = folder / f"bicep-{version}.json"
    if not file.exists():
        return None
    types = _types(file)
    for entry in types:
        if entry["$type"] == "ResourceType" and entry["name"].lower() == f"{kind}@{version}".lower():
            return _shape(types, entry["body"])
    return None


@lru_cache
def _types(file: Path) -> list[dict[str, Any]]:
    return json.loads(file.read_text())


def _shape(types: list[dict[str, Any]], reference: dict[str, str]) -> Shape:
    entry = types[int(reference["$ref"].removeprefix("#/"))]
    match entry["$type"]:
        case "ObjectType":
            rest = entry.get("additionalProperties")
            return Record(_properties(types, entry["properties"]), _shape(types, rest) if rest else None)
        case "DiscriminatedObjectType":
            return _variants(types, entry)
        case "ArrayType":
            return Items(partial(_shape, types, entry["itemType"]))
        case "StringLiteralType":
            return Words((entry["value"],))
        case "UnionType":
            return _union([_shape(types, element) for element in entry["elements"]])
        case "StringType":
            return Words()
        case "IntegerType" | "BooleanType" as scalar:
            return Scalar(int if scalar == "IntegerType" else bool)
        case _:
            return Anything()


def _properties(types: list[dict[str, Any]], properties: dict[str, Any]) -> dict[str, Property]:
    return {
        name: Property(
            partial(_shape, types, declared["type"]),
            required=bool(declared["flags"] & REQUIRED),
            read_only=bool(declared["flags"] & READ_ONLY),
        )
        for name, declared in properties.items()
    }


def _variants(types: list[dict[str, Any]], entry: dict[str, Any]) -> Variants:
    shared = _properties(types, entry["baseProperties"])

    def record(reference: dict[str, str]) -> Shape:
        own = _shape(types, reference)
        return Record({**shared, **own.properties}, own.rest) if isinstance(own, Record) else own

    return Variants(entry["discriminator"], {k: partial(record, v) for k, v in entry["elements"].items()})


def _union(shapes: list[Shape]) -> Shape:
    words = [shape for shape in shapes if isinstance(shape, Words)]
    if len(words) < len(shapes):
        return Anything()
    # An enumeration that ends in "any string" has been extended before and will be again: only what is listed holds.
    return Words(tuple(word for shape in words for word in shape.words))
