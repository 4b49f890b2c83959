"""Reads Bicep into values: what each file declares, and the names in it that nothing declares.

There is no Bicep compiler for Python. The grammar is tree-sitter's; what an expression is worth is worked out as far as
it can be without a deployment.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from re import MULTILINE, sub
from typing import Any

import tree_sitter
import tree_sitter_bicep

from ml_platform_tests.deployments.values import Either, Unknown

PARSER = tree_sitter.Parser(tree_sitter.Language(tree_sitter_bicep.language()))
NAMESPACES = {"az", "sys"}
NO_EXPRESSIONS = {"type", "metadata_declaration", "decorator", "target_scope_assignment"}


@dataclass(frozen=True)
class Parameter:
    """One `param`, with what its decorators say."""

    name: str
    type: str
    required: bool
    allowed: list[Any]
    decorators: frozenset[str]


@dataclass(frozen=True)
class Resource:
    """One `resource`, its body as far as it is known."""

    symbol: str
    type: str
    version: str
    existing: bool
    body: dict[str, Any]


@dataclass(frozen=True)
class Module:
    """One `module`: which file it calls with what."""

    symbol: str
    path: str
    params: dict[str, Any]


@dataclass
class Template:
    """One file of Bicep."""

    path: Path
    parameters: dict[str, Parameter] = field(default_factory=dict)
    variables: dict[str, Any] = field(default_factory=dict)
    resources: list[Resource] = field(default_factory=list)
    modules: list[Module] = field(default_factory=list)
    outputs: dict[str, Any] = field(default_factory=dict)
    using: str = ""
    problems: list[str] = field(default_factory=list)
    used: set[str] = field(default_factory=set)
    asked: set[tuple[str, str]] = field(default_factory=set)
    members: set[tuple[str, str]] = field(default_factory=set)

    @cached_property
    def names(self) -> set[str]:
        """Everything that an expression of this file may name."""
        symbols = [r.symbol for r in self.resources] + [m.symbol for m in self.modules]
        return {*self.parameters, *self.variables, *symbols, *NAMESPACES}


def read(path: Path) -> Template:
    """Read a template or a file of parameters. What is wrong with it is in `problems`, never raised."""
    text = path.read_text()
    if path.suffix == ".bicepparam":
        # The grammar has no files of parameters: an assigned parameter is read as a variable.
        text = sub(r"^param ", "var ", text, flags=MULTILINE)
    root = PARSER.parse(text.encode()).root_node
    template = Template(path)
    template.problems += [f"line {node.start_point.row + 1}: syntax" for node in _errors(root)]
    decorators: list[tree_sitter.Node] = []
    for node in root.named_children:
        if node.type == "decorators":
            decorators = node.named_children
            continue
        _declare(template, node, decorators)
        decorators = []
    for name, line in _names(root, template, frozenset()):
        if name not in template.names:
            template.problems.append(f"line {line}: nothing declares {name}")
    return template


def _errors(node: tree_sitter.Node) -> Iterator[tree_sitter.Node]:
    if node.is_error or node.is_missing:
        yield node
    elif node.has_error:
        for child in node.children:
            yield from _errors(child)


def _declare(template: Template, node: tree_sitter.Node, decorators: list[tree_sitter.Node]) -> None:
    children = node.named_children
    name = _text(children[0]) if children else ""
    match node.type:
        case "using_statement":
            template.using = str(evaluate(children[0], template))
        case "parameter_declaration":
            template.parameters[name] = _parameter(name, children, decorators, template)
        case "variable_declaration":
            template.variables[name] = evaluate(children[-1], template)
        case "output_declaration":
            template.outputs[name] = evaluate(children[-1], template)
        case "resource_declaration":
            kind, _, version = str(evaluate(children[1], template)).partition("@")
            existing = any(child.type == "existing" for child in node.children)
            body = _object(children[-1], template)
            template.resources.append(Resource(name, kind, version, existing, body))
        case "module_declaration":
            params = _object(children[-1], template).get("params", {})
            template.modules.append(Module(name, str(evaluate(children[1], template)), params))


def _parameter(
    name: str, children: list[tree_sitter.Node], decorators: list[tree_sitter.Node], template: Template
) -> Parameter:
    calls = {_text(d.named_children[0].named_children[0]): d.named_children[0].named_children[1] for d in decorators}
    allowed = evaluate(calls["allowed"].named_children[0], template) if "allowed" in calls else []
    return Parameter(name, _text(children[1]), len(children) == 2, allowed, frozenset(calls))


def _object(node: tree_sitter.Node, template: Template) -> dict[str, Any]:
    """The object of a declaration, within its loop and condition."""
    while node.type in ("for_statement", "if_statement"):
        node = node.named_children[-1]
    value = evaluate(node, template)
    return value if isinstance(value, dict) else {}


def evaluate(node: tree_sitter.Node, template: Template) -> Any:
    """The value of an expression: a constant, an object, a list, the branches of a condition, or Unknown."""
    reader = READERS.get(node.type)
    if reader is None:
        return Unknown(_text(node))
    return reader(node, [child for child in node.named_children if child.type != "comment"], template)


Nodes = list[tree_sitter.Node]


def _call(node: tree_sitter.Node, children: Nodes, template: Template) -> Any:
    if _text(children[0]) == "union":
        values = [evaluate(child, template) for child in children[1].named_children]
        if all(isinstance(value, dict) for value in values):
            return {name: value for each in values for name, value in each.items()}
    return Unknown(_text(node))


def _string(node: tree_sitter.Node, children: Nodes, template: Template) -> str | Unknown:
    if any(child.type == "interpolation" for child in children):
        return Unknown(_text(node)[1:-1])
    return "".join(_text(child) for child in children)


def _read_object(node: tree_sitter.Node, children: Nodes, template: Template) -> dict[str, Any]:
    properties = {}
    for child in children:
        key, value = [each for each in child.named_children if each.type != "comment"]
        properties[_text(key).strip("'")] = evaluate(value, template)
    return properties


READERS: dict[str, Callable[[tree_sitter.Node, Nodes, Template], Any]] = {
    "string": _string,
    "number": lambda node, children, template: int(_text(node)),
    "boolean": lambda node, children, template: _text(node) == "true",
    "null": lambda node, children, template: None,
    "array": lambda node, children, template: [evaluate(child, template) for child in children],
    "object": _read_object,
    "ternary_expression": lambda node, children, template: Either(*(evaluate(c, template) for c in children[1:])),
    "parenthesized_expression": lambda node, children, template: evaluate(children[0], template),
    "for_statement": lambda node, children, template: [evaluate(children[-1], template)],
    "identifier": lambda node, children, template: template.variables.get(_text(node), Unknown(_text(node))),
    "call_expression": _call,
}


def _names(node: tree_sitter.Node, template: Template, local: frozenset[str]) -> Iterator[tuple[str, int]]:
    """Each name that an expression uses, with its line; what loops and lambdas declare is known below them."""
    if node.type in NO_EXPRESSIONS:
        return
    if node.type == "identifier" and _text(node) not in local:
        template.used.add(_text(node))
        yield _text(node), node.start_point.row + 1
    if node.type == "member_expression":
        _ask(node, template)
    children = node.named_children
    if node.type in ("for_statement", "lambda_expression"):
        local = local | set(_text(children[0]).strip("()").replace(" ", "").split(","))
    if _names_itself(node):
        children = children[1:]
    for child in children:
        yield from _names(child, template, local)


def _names_itself(node: tree_sitter.Node) -> bool:
    """The first child is a name that is declared here, or a key or a function."""
    if node.type in ("object_property", "call_expression"):
        return node.named_children[0].type == "identifier"
    return node.type in ("for_statement", "lambda_expression") or node.type.endswith("_declaration")


def _ask(node: tree_sitter.Node, template: Template) -> None:
    """Note `module.outputs.name` and `parameter.member`."""
    parts = _text(node).replace("!", "").replace("?", "").split(".")
    template.members.add((parts[0], parts[1]))
    if len(parts) >= 3 and parts[1] == "outputs":
        template.asked.add((parts[0], parts[2]))


def _text(node: tree_sitter.Node) -> str:
    return (node.text or b"").decode()
