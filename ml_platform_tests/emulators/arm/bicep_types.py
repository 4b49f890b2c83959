"""Reads bicep-types, Microsoft's published resource types, and holds values against them.

A file is a list of types that refer to each other as "#/n": https://github.com/Azure/bicep-types. Flags of properties:
`ObjectTypePropertyFlags` there.
"""

import re
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

REQUIRED, READ_ONLY, WRITE_ONLY = 1, 2, 4

Direction = Literal["sent", "answered"]
Type = dict[str, Any]


@dataclass(frozen=True)
class Types:
    """The types of one API version."""

    types: list[Type]

    @cached_property
    def resources(self) -> dict[str, Type]:
        found = [each for each in self.types if each["$type"] == "ResourceType"]
        return {each["name"].split("@")[0].lower(): self.at(each["body"]) for each in found}

    @cached_property
    def actions(self) -> dict[tuple[str, str], Type]:
        found = [each for each in self.types if each["$type"] == "ResourceFunctionType"]
        return {(each["resourceType"].lower(), each["name"].lower()): each for each in found}

    def at(self, reference: dict[str, str]) -> Type:
        return self.types[int(reference["$ref"].removeprefix("#/"))]

    def problems(self, kind: Type, value: Any, path: str, direction: Direction) -> list[str]:
        """What in a value contradicts its type; a null counts as absent."""
        check = getattr(self, f"_{kind['$type']}")
        return [] if value is None else check(kind, value, path, direction)

    def pruned(self, kind: Type, value: Any) -> Any:
        """A value without what its type does not know, and without what is write-only: how a version shows it."""
        if isinstance(value, list) and kind["$type"] == "ArrayType":
            return [self.pruned(self.at(kind["itemType"]), each) for each in value]
        if not isinstance(value, dict) or kind["$type"] not in ("ObjectType", "DiscriminatedObjectType"):
            return value
        known, other = self._known(kind, value), kind.get("additionalProperties")
        shown = {}
        for name, given in value.items():
            if name in known and not known[name]["flags"] & WRITE_ONLY:
                shown[name] = self.pruned(self.at(known[name]["type"]), given)
            elif name not in known and other:
                shown[name] = self.pruned(self.at(other), given)
        return shown

    def _known(self, kind: Type, value: dict[str, Any]) -> dict[str, Any]:
        if kind["$type"] == "ObjectType":
            return kind["properties"]
        chosen = {name.lower(): ref for name, ref in kind["elements"].items()}.get(
            str(value.get(kind["discriminator"])).lower()
        )
        return kind["baseProperties"] | (self.at(chosen)["properties"] if chosen else {})

    def properties(self, known: dict[str, Any], value: dict[str, Any], path: str, direction: Direction) -> list[str]:
        found = []
        for name, declared in known.items():
            given, flags = value.get(name), declared["flags"]
            where = f"{path}.{name}" if path else name
            if given is None:
                needless = READ_ONLY if direction == "sent" else WRITE_ONLY
                found += [f"{where} is required"] if flags & REQUIRED and not flags & needless else []
            elif flags & READ_ONLY and direction == "sent":
                found.append(f"{where} is read-only")
            elif flags & WRITE_ONLY and direction == "answered":
                found.append(f"{where} is write-only")
            else:
                found += self.problems(self.at(declared["type"]), given, where, direction)
        return found

    def _ObjectType(self, kind: Type, value: Any, path: str, direction: Direction) -> list[str]:  # noqa: N802
        if not isinstance(value, dict):
            return [f"{path} is no object"]
        known = kind["properties"]
        found = self.properties(known, value, path, direction)
        for name in value.keys() - known.keys():
            where = f"{path}.{name}" if path else name
            if "additionalProperties" in kind:
                found += self.problems(self.at(kind["additionalProperties"]), value[name], where, direction)
            else:
                found.append(f"{where} is unknown in {kind['name']}")
        return found

    def _DiscriminatedObjectType(self, kind: Type, value: Any, path: str, direction: Direction) -> list[str]:  # noqa: N802
        if not isinstance(value, dict):
            return [f"{path} is no object"]
        by, elements = kind["discriminator"], {name.lower(): ref for name, ref in kind["elements"].items()}
        chosen = elements.get(str(value.get(by)).lower())
        if chosen is None:
            return [f"{path}.{by} is {value.get(by)!r}, not one of {', '.join(kind['elements'])}"]
        element = self.at(chosen)
        properties = kind["baseProperties"] | element["properties"]
        return self._ObjectType(element | {"properties": properties}, value, path, direction)

    def _ArrayType(self, kind: Type, value: Any, path: str, direction: Direction) -> list[str]:  # noqa: N802
        if not isinstance(value, list):
            return [f"{path} is no list"]
        item = self.at(kind["itemType"])
        return [each for n, one in enumerate(value) for each in self.problems(item, one, f"{path}[{n}]", direction)]

    def _UnionType(self, kind: Type, value: Any, path: str, direction: Direction) -> list[str]:  # noqa: N802
        elements = [self.at(each) for each in kind["elements"]]
        literals = [each["value"] for each in elements if each["$type"] == "StringLiteralType"]
        if literals:  # an open enum lists a string beside: the service refuses unknown values all the same
            fits = str(value).lower() in {each.lower() for each in literals}
            return [] if fits else [f"{path} is {value!r}, not one of {', '.join(literals)}"]
        found = [self.problems(each, value, path, direction) for each in elements]
        return [] if [] in found else found[0]

    def _StringLiteralType(self, kind: Type, value: Any, path: str, direction: Direction) -> list[str]:  # noqa: N802
        return [] if str(value).lower() == kind["value"].lower() else [f"{path} is {value!r}, not {kind['value']!r}"]

    def _StringType(self, kind: Type, value: Any, path: str, direction: Direction) -> list[str]:  # noqa: N802
        if not isinstance(value, str):
            return [f"{path} is {value!r}, not a string"]
        if not kind.get("minLength", 0) <= len(value) <= kind.get("maxLength", len(value)):
            return [f"{path} is {len(value)} characters long"]
        # .NET's patterns; Python knows all that are published.
        fits = re.search(kind.get("pattern", ""), value)
        return [] if fits else [f"{path} is {value!r}, which does not match {kind['pattern']}"]

    def _IntegerType(self, kind: Type, value: Any, path: str, direction: Direction) -> list[str]:  # noqa: N802
        # Bicep knows no floating point numbers, so a published double is an integer here: any number will do.
        number = isinstance(value, int | float) and not isinstance(value, bool)
        least = kind.get("minValue")
        fits = number and (least is None or value >= least)
        return (
            [] if fits else [f"{path} is {value!r}, not a number" + ("" if least is None else f" of at least {least}")]
        )

    def _BooleanType(self, kind: Type, value: Any, path: str, direction: Direction) -> list[str]:  # noqa: N802
        return [] if isinstance(value, bool) else [f"{path} is {value!r}, not a boolean"]

    def _AnyType(self, kind: Type, value: Any, path: str, direction: Direction) -> list[str]:  # noqa: N802
        return []
