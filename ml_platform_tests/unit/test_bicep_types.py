"""Held against a published type, a body shows what is wrong with it, by path."""

from typing import Any

import pytest

from ml_platform_tests.emulators.arm.bicep_types import Types

TYPES: list[dict[str, Any]] = [
    {"$type": "StringType"},
    {"$type": "StringLiteralType", "value": "Fast"},
    {"$type": "StringLiteralType", "value": "Slow"},
    {"$type": "UnionType", "elements": [{"$ref": "#/1"}, {"$ref": "#/2"}, {"$ref": "#/0"}]},
    {"$type": "IntegerType", "minValue": 1},
    {"$type": "StringType", "pattern": "^[a-z]+$", "maxLength": 4},
    {"$type": "ArrayType", "itemType": {"$ref": "#/4"}},
    {"$type": "ObjectType", "name": "Tags", "properties": {}, "additionalProperties": {"$ref": "#/0"}},
    {"$type": "BooleanType"},
    {
        "$type": "ObjectType",
        "name": "Car",
        "properties": {"wheels": {"type": {"$ref": "#/4"}, "flags": 1}, "kind": {"type": {"$ref": "#/0"}, "flags": 1}},
    },
    {"$type": "ObjectType", "name": "Boat", "properties": {"kind": {"type": {"$ref": "#/0"}, "flags": 1}}},
    {
        "$type": "DiscriminatedObjectType",
        "name": "Vehicle",
        "discriminator": "kind",
        "baseProperties": {"owner": {"type": {"$ref": "#/0"}, "flags": 0}},
        "elements": {"Car": {"$ref": "#/9"}, "Boat": {"$ref": "#/10"}},
    },
    {
        "$type": "ObjectType",
        "name": "All",
        "properties": {
            "speed": {"type": {"$ref": "#/3"}, "flags": 0},
            "code": {"type": {"$ref": "#/5"}, "flags": 0},
            "sizes": {"type": {"$ref": "#/6"}, "flags": 0},
            "tags": {"type": {"$ref": "#/7"}, "flags": 0},
            "on": {"type": {"$ref": "#/8"}, "flags": 0},
            "vehicle": {"type": {"$ref": "#/11"}, "flags": 0},
            "state": {"type": {"$ref": "#/0"}, "flags": 2},
            "secret": {"type": {"$ref": "#/0"}, "flags": 4},
        },
    },
]
KNOWN = Types(TYPES)


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        ({"colour": 1}, "colour is unknown in All"),
        ({"speed": "medium"}, "speed is 'medium', not one of Fast, Slow"),
        ({"code": "ABC"}, "code is 'ABC', which does not match ^[a-z]+$"),
        ({"code": "abcde"}, "code is 5 characters long"),
        ({"sizes": [1, 0]}, "sizes[1] is 0, not a number of at least 1"),
        ({"sizes": [True]}, "sizes[0] is True, not a number of at least 1"),
        ({"sizes": "12"}, "sizes is no list"),
        ({"tags": {"a": 1}}, "tags.a is 1, not a string"),
        ({"on": "yes"}, "on is 'yes', not a boolean"),
        ({"vehicle": {"kind": "Car"}}, "vehicle.wheels is required"),
        ({"vehicle": {"kind": "Boat", "wheels": 4}}, "vehicle.wheels is unknown in Boat"),
        ({"vehicle": {"kind": "Plane"}}, "vehicle.kind is 'Plane', not one of Car, Boat"),
        ({"vehicle": "Car"}, "vehicle is no object"),
        ({"state": "Succeeded"}, "state is read-only"),
    ],
)
def test_each_contradiction_is_named_by_its_path(body: dict[str, Any], problem: str) -> None:
    assert KNOWN.problems(TYPES[12], body, "", "sent") == [problem]


def test_a_body_that_fits_has_no_problems_whatever_the_case_of_its_enums() -> None:
    vehicle = {"kind": "car", "wheels": 4, "owner": None}
    body = {
        "speed": "FAST",
        "code": "abc",
        "sizes": [1],
        "tags": {"a": "b"},
        "on": True,
        "vehicle": vehicle,
        "secret": "x",
    }
    assert KNOWN.problems(TYPES[12], body, "", "sent") == []


def test_an_answer_may_hold_what_is_read_only_but_nothing_write_only() -> None:
    assert KNOWN.problems(TYPES[12], {"state": "Succeeded"}, "", "answered") == []
    assert KNOWN.problems(TYPES[12], {"secret": "x"}, "", "answered") == ["secret is write-only"]


def test_a_version_shows_only_what_it_knows() -> None:
    held = {"vehicle": {"kind": "Boat", "wheels": 4, "owner": "ada"}, "new": 1, "secret": "x", "tags": {"a": "b"}}
    assert KNOWN.pruned(TYPES[12], held) == {"vehicle": {"kind": "Boat", "owner": "ada"}, "tags": {"a": "b"}}
