"""The Bicep templates as a whole: syntax, names, what modules ask of each other, types, rules."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ml_platform_tests.deployments import azure_rules, bicep, published_types, sdk_types
from ml_platform_tests.deployments.bicep import Module, Parameter, Resource, Template
from ml_platform_tests.deployments.shapes import violations

# Said by Bicep itself, not part of what is sent.
OF_BICEP = {"parent", "scope", "dependsOn"}
# What its owner deploys into the resource group, before main.bicep.
BEFORE = "autoscale-role.bicep"
MACHINE_LEARNING = "Microsoft.MachineLearningServices/"


def problems(deployments: Path, specs: Path | None) -> Iterator[str]:
    """What is wrong with azure/bicep; `specs` is the folder of published types, for Azure ML."""
    folder = deployments / "azure" / "bicep"
    templates = {path: bicep.read(path) for path in sorted(folder.rglob("*.bicep*"))}
    for path, template in templates.items():
        for problem in _of_one(template, templates, specs):
            yield f"{path.relative_to(deployments)}: {problem}"
    called = {t.path.parent / m.path for t in templates.values() for m in t.modules}
    for path in {*templates} - called - {folder / "main.bicep", folder / BEFORE, *folder.glob("*.bicepparam")}:
        yield f"{path.relative_to(deployments)}: no module calls it"


def _of_one(template: Template, templates: dict[Path, Template], specs: Path | None) -> Iterator[str]:
    yield from template.problems
    yield from _secrets(template)
    for wide, role in azure_rules.TOO_WIDE.items():
        if wide in template.path.read_text():
            yield f"gives the role {role}, which is too wide"
    for resource in template.resources:
        for problem in (*_types(resource, specs), *azure_rules.broken(resource)):
            yield f"{resource.symbol}: {problem}"
    for module in template.modules:
        yield from _module(template, module, templates.get(template.path.parent / module.path))
    if template.using:
        yield from _parameters(template, templates.get(template.path.parent / template.using))
    else:
        for name in {*template.parameters} - template.used:
            yield f"nothing uses the parameter {name}"


def _types(resource: Resource, specs: Path | None) -> Iterator[str]:
    if resource.existing:
        return
    body = {name: value for name, value in resource.body.items() if name not in OF_BICEP}
    if resource.type.startswith(MACHINE_LEARNING):
        shape = published_types.resource_shape(specs / "azure", resource.type, resource.version) if specs else None
        if specs and shape is None:
            yield f"there are no published types of {resource.type}@{resource.version}"
    elif resource.type not in sdk_types.MODELS:
        shape = None
        yield f"no model is named for {resource.type}: add it to sdk_types.MODELS"
    else:
        body.pop("name", None)
        shape, known = sdk_types.resource_shape(resource.type), sdk_types.version(resource.type)
        if resource.version != known:
            yield f"{resource.type}@{resource.version} cannot be checked: the installed types are of {known}"
    if shape is not None:
        yield from violations(body, shape, resource.type.rpartition("/")[2])


def _module(template: Template, module: Module, called: Template | None) -> Iterator[str]:
    if called is None:
        yield f"{module.symbol}: there is no {module.path}"
        return
    for name in module.params.keys() - called.parameters.keys():
        yield f"{module.symbol}: {module.path} has no parameter {name}"
    for parameter in called.parameters.values():
        if parameter.required and parameter.name not in module.params:
            yield f"{module.symbol}: {module.path} needs {parameter.name}"
    for symbol, output in template.asked:
        if symbol == module.symbol and output not in called.outputs:
            yield f"{module.symbol}: {module.path} has no output {output}"


def _parameters(template: Template, main: Template | None) -> Iterator[str]:
    if main is None:
        yield f"there is no {template.using}"
        return
    for name in template.variables.keys() - main.parameters.keys():
        yield f"{template.using} has no parameter {name}"
    for parameter in main.parameters.values():
        if parameter.name in template.variables:
            yield from _value(main, parameter, template.variables[parameter.name])
        elif parameter.required:
            yield f"{template.using} needs {parameter.name}"


def _value(main: Template, parameter: Parameter, value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        asked = {member for owner, member in main.members if owner == parameter.name}
        yield from (f"{main.path.name} needs {parameter.name}.{member}" for member in sorted(asked - value.keys()))
    if parameter.allowed and value not in parameter.allowed:
        yield f"{parameter.name} is {value!r}, not one of {parameter.allowed}"
    if isinstance(value, str) and "secure" in parameter.decorators:
        yield f"{parameter.name} is a secret and stands in the file"


def _secrets(template: Template) -> Iterator[str]:
    for parameter in template.parameters.values():
        named = any(word in parameter.name.lower() for word in ("password", "secretvalue", "cookiesecret"))
        if named and "secure" not in parameter.decorators:
            yield f"the parameter {parameter.name} is a secret without @secure()"
    secure = [p.name for p in template.parameters.values() if "secure" in p.decorators]
    for name, value in template.outputs.items():
        if any(word in str(value) for word in (*secure, "listKeys")):
            yield f"the output {name} shows a secret: outputs are kept in the deployment's history"
