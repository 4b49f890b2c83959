"""The digest of a transformation's code: its module and what that imports of its own package."""

import ast
from collections.abc import Iterator
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path

from ml_platform.errors import SpecError


def transform_digest(transform: str, folder: Path) -> str:
    """Of a SQL file in `folder`, or of a module with all modules of the same package that it comes to import.

    Raises SpecError where there is no such file or module.
    """
    files = [folder / transform] if transform.endswith(".sql") else sorted(_files(transform))
    try:
        contents = [file.read_bytes() for file in files]
    except OSError as error:
        raise SpecError(f"features.transform: {transform} cannot be read: {error}") from error
    digest = sha256()
    for content in contents:
        digest.update(sha256(content).digest())
    return digest.hexdigest()[:16]


def _files(module: str) -> set[Path]:
    package, waiting, files = module.split(".")[0], [module], {}
    while waiting:
        name = waiting.pop()
        path = _source(name)
        if path is None:
            if name == module:
                raise SpecError(f"features.transform: there is no module {module}")
            continue
        if name not in files:
            files[name] = path
            waiting += [other for other in _imports(path) if other.split(".")[0] == package]
    return set(files.values())


def _imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module
            # What is imported from a package may be a module of it.
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _source(module: str) -> Path | None:
    try:
        spec = find_spec(module)
    except ModuleNotFoundError:
        return None
    return Path(spec.origin) if spec and spec.origin and spec.origin.endswith(".py") else None
