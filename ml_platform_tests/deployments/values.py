"""What an expression of a template is known to be before it is deployed."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Unknown:
    """Known only when it is deployed: a parameter, a property of a resource, a function's result."""

    text: str


@dataclass(frozen=True)
class Either:
    """The two values of `condition ? one : other`."""

    one: Any
    other: Any


def possible(value: Any) -> Iterator[Any]:
    """Each value that this may be: the branches of its conditions."""
    if isinstance(value, Either):
        yield from possible(value.one)
        yield from possible(value.other)
    else:
        yield value


def at(value: Any, path: str) -> list[Any]:
    """What stands at `a.b.c`, in each branch; [] in a list takes each item. None where there is nothing."""
    found = [value]
    for name in path.split("."):
        found = [each for parent in found for each in _below(parent, name)]
    return [each for one in found for each in possible(one)]


def _below(parent: Any, name: str) -> Iterator[Any]:
    for value in possible(parent):
        if name == "[]" and isinstance(value, list):
            yield from value
        elif isinstance(value, dict):
            yield value.get(name)
        else:
            yield value if isinstance(value, Unknown) else None
