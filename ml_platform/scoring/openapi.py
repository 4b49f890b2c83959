"""The OpenAPI document of an endpoint, made from its model's signature."""

from typing import Any

import msgspec

from ml_platform.scoring.encoding import Signature
from ml_platform.scoring.records import MAX_RECORDS
from ml_platform.scoring.state import Deployment

_SCHEMAS = "#/components/schemas/"
_DESCRIPTION = """Give one record as a JSON object, or several as `{"records": [...]}`. MLflow's `dataframe_records`,
`dataframe_split` and `inputs` are understood too. The answer has the same form for one record as for many. A
prediction's id is the request's `x-request-id` (made up where none is given) and the record's position,
`{x-request-id}_{index}`. Fields that are neither input nor key are ignored."""
_REFUSALS = {
    "400": "The body is not JSON, or a header has no meaning.",
    "401": "The key is missing or wrong.",
    "404": "No deployment has traffic, or the one that `azureml-model-deployment` names is not there.",
    "408": "The body did not come in time.",
    "413": "The body is too large.",
    "415": "The content type is not application/json.",
    "422": "A field is missing or has the wrong type; the message names it.",
    "429": "Too many requests at once; come back after `Retry-After` seconds.",
    "431": "A request id is longer than 100 characters.",
    "500": "The model failed.",
    "503": "No model is loaded.",
}


def openapi_document(endpoint: str, deployment: Deployment, signature: Signature, record: type) -> bytes:
    """The OpenAPI 3.1 document, as JSON."""
    (reference,), schemas = msgspec.json.schema_components([record], ref_template=_SCHEMAS + "{name}")
    document = {
        "openapi": "3.1.0",
        "info": {
            "title": f"{endpoint}: {deployment.model_name}",
            "version": deployment.model_version,
            "description": "\n".join(f"{name}: {value}" for name, value in signature.facts.items()),
        },
        "paths": {"/score": {"post": _score_operation()}, **_HEALTH},
        "components": {
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
            "schemas": {**schemas, "Batch": _batch(reference), **_answers(signature.output)},
        },
    }
    return msgspec.json.encode(document)


def _score_operation() -> dict[str, Any]:
    body = {"oneOf": [{"$ref": _SCHEMAS + "Record"}, {"$ref": _SCHEMAS + "Batch"}]}
    answer = {"200": {"description": "One prediction a record, in order.", "content": _json("Answer")}}
    refusals = {code: {"description": text, "content": _json("Refusal")} for code, text in _REFUSALS.items()}
    return {
        "operationId": "score",
        "summary": "The model's probability for each record",
        "description": _DESCRIPTION,
        "security": [{"key": []}],
        "requestBody": {"required": True, "content": {"application/json": {"schema": body}}},
        "responses": answer | refusals,
    }


def _json(schema: str) -> dict[str, Any]:
    return {"application/json": {"schema": {"$ref": _SCHEMAS + schema}}}


def _object(**properties: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "required": list(properties), "properties": properties}


def _batch(record: dict[str, Any]) -> dict[str, Any]:
    return _object(records={"type": "array", "minItems": 1, "maxItems": MAX_RECORDS, "items": record})


def _answers(output: str) -> dict[str, Any]:
    text = {"type": "string"}
    probability = {"type": "number", "minimum": 0, "maximum": 1}
    return {
        "Prediction": _object(id=text, **{output: probability}),
        "Answer": _object(
            predictions={"type": "array", "items": {"$ref": _SCHEMAS + "Prediction"}},
            model=_object(name=text, version=text),
        ),
        "Refusal": _object(message=text),
    }


def _get(**descriptions: str) -> dict[str, Any]:
    responses = {code.removeprefix("_"): {"description": text} for code, text in descriptions.items()}
    return {"get": {"responses": responses}}


_HEALTH = {
    "/": _get(_200="The host answers."),
    "/health/live": _get(_200="The host answers."),
    "/health/ready": _get(_200="A model is loaded.", _503="No model is loaded."),
    "/metrics": _get(_200="What was counted, for Prometheus."),
}
