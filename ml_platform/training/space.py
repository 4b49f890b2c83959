"""Parameters of a search space that came as text: on a trial's command line, or from its MLflow run."""

from typing import Any

from ml_platform.errors import SpecError
from ml_platform.training.contract import Dimension


def parsed(space: dict[str, Dimension], arguments: dict[str, str]) -> dict[str, Any]:
    """The parameters that arguments `--name text` name; raises SpecError for what is not in the space."""
    return {name: value_of(space, name, arguments.get(f"--{name}", "")) for name in space}


def value_of(space: dict[str, Dimension], name: str, text: str) -> Any:
    """A parameter of which there is a text: one of the choices, or a number within the range."""
    dimension = space[name]
    if dimension.choices is not None:
        found = [choice for choice in dimension.choices if str(choice) == text]
        if not found:
            raise SpecError(f"{name} is {text!r}, which is none of {dimension.choices}")
        return found[0]
    try:
        number = min(max(float(text), dimension.low or 0.0), dimension.high or 0.0)
    except ValueError as error:
        raise SpecError(f"{name} is {text!r}, which is no number") from error
    return round(number) if dimension.integer else number
