"""Holds a value against a type: unknown and read-only properties, missing ones, kinds and enumerations."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ml_platform_tests.deployments.values import Unknown, possible


@dataclass(frozen=True)
class Property:
    """One property of an object; its type is asked for when a value stands there: types refer to themselves."""

    shape: Callable[[], "Shape"]
    required: bool = False
    read_only: bool = False


@dataclass(frozen=True)
class Record:
    """An object; `rest` is the type of properties that are not named, None where there may be none."""

    properties: Mapping[str, Property]
    rest: "Shape | None" = None


@dataclass(frozen=True)
class Variants:
    """An object of one of several types, told by a property."""

    discriminator: str
    records: Mapping[str, Callable[[], "Shape"]]


@dataclass(frozen=True)
class Items:
    """A list."""

    item: Callable[[], "Shape"]


@dataclass(frozen=True)
class Words:
    """A string: one of these, whatever its case as Azure compares them; any where there are none."""

    words: tuple[str, ...] = ()


@dataclass(frozen=True)
class Scalar:
    """A number or a boolean."""

    type: type


class Anything:
    """Not described any further."""


Shape = Record | Variants | Items | Words | Scalar | Anything


def violations(value: Any, shape: Shape, place: str) -> Iterator[str]:
    """Each way in which the value is not of the type, beginning with the place in it."""
    for each in possible(value):
        if isinstance(each, Unknown) or each is None:
            continue
        match shape:
            case Record():
                yield from _record(each, shape, place)
            case Variants():
                yield from _variants(each, shape, place)
            case Items():
                yield from _items(each, shape, place)
            case Words():
                yield from _words(each, shape, place)
            case Scalar(type=kind) if not _is(each, kind):
                yield f"{place} is {each!r}, not {kind.__name__}"


def _is(value: Any, kind: type) -> bool:
    """Bicep knows integers only: its types say so of every number."""
    return type(value) is kind or (kind is int and type(value) is float)


def _record(value: Any, shape: Record, place: str) -> Iterator[str]:
    if not isinstance(value, dict):
        yield f"{place} is {value!r}, not an object"
        return
    for name, child in value.items():
        below = f"{place}.{name}"
        if name in shape.properties:
            declared = shape.properties[name]
            if declared.read_only:
                yield f"{below} is read-only"
            yield from violations(child, declared.shape(), below)
        elif shape.rest is None:
            yield f"{below} is unknown; there are {', '.join(sorted(shape.properties))}"
        else:
            yield from violations(child, shape.rest, below)
    for name, declared in shape.properties.items():
        if declared.required and not declared.read_only and name not in value:
            yield f"{place} lacks {name}"


def _variants(value: Any, shape: Variants, place: str) -> Iterator[str]:
    kind = value.get(shape.discriminator) if isinstance(value, dict) else None
    if isinstance(kind, Unknown):
        return
    if not isinstance(kind, str) or kind not in shape.records:
        yield f"{place}.{shape.discriminator} is {kind!r}, not one of {', '.join(sorted(shape.records))}"
        return
    yield from violations(value, shape.records[kind](), place)


def _items(value: Any, shape: Items, place: str) -> Iterator[str]:
    if not isinstance(value, list):
        yield f"{place} is {value!r}, not a list"
        return
    for number, item in enumerate(value):
        yield from violations(item, shape.item(), f"{place}[{number}]")


def _words(value: Any, shape: Words, place: str) -> Iterator[str]:
    if not isinstance(value, str):
        yield f"{place} is {value!r}, not a string"
    elif shape.words and value.lower() not in {word.lower() for word in shape.words}:
        yield f"{place} is {value!r}, not one of {', '.join(shape.words)}"
