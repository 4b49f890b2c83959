"""The types of providers whose management library is of the older kind: a map of attributes to paths in the body."""

from functools import partial
from types import ModuleType
from typing import Any

from ml_platform_tests.deployments.shapes import Anything, Items, Property, Record, Scalar, Shape, Words

SCALARS: dict[str, Shape] = {"str": Words(), "int": Scalar(int), "bool": Scalar(bool)}


def record(models: ModuleType, model: Any) -> Record:
    """The type of a model's body; a path such as `properties.sku` stands for a property of an inner object."""
    validation = model._validation
    properties: dict[str, Property] = {}
    inner: dict[str, dict[str, Property]] = {}
    for attribute, described in model._attribute_map.items():
        rules = validation.get(attribute, {})
        declared = Property(
            partial(_shape, models, described["type"]), rules.get("required", False), rules.get("readonly", False)
        )
        *parents, name = described["key"].split(".")
        (inner.setdefault(parents[0], {}) if parents else properties)[name] = declared
    for parent, below in inner.items():
        properties[parent] = Property(partial(Record, below), any(p.required for p in below.values()))
    return Record(properties)


def _shape(models: ModuleType, name: str) -> Shape:
    if name in SCALARS:
        return SCALARS[name]
    if name.startswith("["):
        return Items(partial(_shape, models, name[1:-1]))
    if name.startswith("{"):
        return Record({}, _shape(models, name[1:-1]))
    model = getattr(models, name, None)
    if model is None or not hasattr(model, "_attribute_map"):
        return Anything()
    return record(models, model)
