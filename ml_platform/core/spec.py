"""A part of a declaration, whatever it declares: frozen, strict, and clear about what is wrong."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import InitErrorDetails

Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$", max_length=60)]
MetricName = Literal["roc_auc", "average_precision", "log_loss", "brier"]


def _explain(schema: dict[str, Any]) -> None:
    """Make a JSON schema say in its messages what is allowed: the known keys, and no "or null" around a part."""
    schema["propertyNames"] = {"enum": list(schema.get("properties", {}))}
    for part in schema.get("properties", {}).values():
        options = [option for option in part.get("anyOf", []) if option != {"type": "null"}]
        if len(options) == 1:
            del part["anyOf"]
            part.update(options[0])


class Spec(BaseModel):
    """A frozen, strict part of a declaration: an unknown key is an error that lists the known ones."""

    model_config = ConfigDict(extra="forbid", frozen=True, json_schema_extra=_explain)

    @model_validator(mode="before")
    @classmethod
    def _known_keys(cls, values: Any) -> Any:
        unknown = sorted(set(values) - set(cls.model_fields)) if isinstance(values, dict) else []
        if unknown:
            allowed = ", ".join(cls.model_fields)
            problem = {"error": ValueError(f"unknown key; allowed here: {allowed}")}
            errors = [InitErrorDetails(type="value_error", loc=(k,), input=values[k], ctx=problem) for k in unknown]
            raise ValidationError.from_exception_data(cls.__name__, errors)
        return values
