"""Proves that a deployment answers as its model does."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ml_platform.errors import DeploymentRefused, EndpointError
from ml_platform.gateways.endpoints.client import ScoringClient
from ml_platform.scoring.state import Deployment, EndpointDeclaration

TOLERANCE = 1e-6


def probe(
    endpoint: EndpointDeclaration,
    deployment: Deployment,
    scoring_uri: str,
    key: str,
    recorded: Sequence[Mapping[str, Any]] = (),
) -> int:
    """Score records over HTTP and in this process; raises DeploymentRefused when the answers differ.

    The records are the model's examples and, where given, `recorded` ones: columns by name, a missing one being null.
    The probe does not enter the inference log. Returns how many records were asked about.
    """
    from ml_platform.scoring.encoding import Encoder, EncodingError
    from ml_platform.scoring.pyfunc import ServingModel
    from ml_platform.scoring.serving import example_records

    try:
        model = ServingModel(Path(deployment.serving_dir))
    except EncodingError as error:
        raise DeploymentRefused(f"endpoint {endpoint.name!r} cannot be verified: {error}") from error
    inputs = model.signature.names
    records = [*example_records(model.signature), *({name: row.get(name) for name in inputs} for row in recorded)]
    try:
        expected = model.score_matrix(Encoder(model.signature).encode_records(records)).tolist()
    except EncodingError as error:
        raise DeploymentRefused(f"endpoint {endpoint.name!r} cannot be probed: {error}") from error
    keys = dict.fromkeys(endpoint.primary_key, "probe") | {endpoint.event_time: datetime.now(UTC)}
    with ScoringClient(scoring_uri, key) as client:
        scores = client.score([record | keys for record in records], probe=True, deployment=deployment.name)
    served = (scores.model_name, scores.model_version)
    if served != (deployment.model_name, deployment.model_version):
        raise EndpointError(f"{scoring_uri} answers as {served}, not as {deployment}; something else has its port")
    answers = [prediction.probability for prediction in scores.predictions]
    if worst := _worst(answers, expected):
        place, answer, known = worst
        raise DeploymentRefused(
            f"{scoring_uri} answers {answer} about record {place} of the probe, its model {known}: "
            f"{deployment.serving_dir} was changed after it was loaded; register the change as a new version and "
            "deploy that"
        )
    return len(records)


def _worst(answers: Sequence[float], expected: Sequence[float]) -> tuple[int, float, float] | None:
    """The place and both values of the largest difference, if it is more than may be."""
    place = max(range(len(expected)), key=lambda each: abs(answers[each] - expected[each]))
    answer, known = answers[place], expected[place]
    return None if abs(answer - known) <= TOLERANCE else (place, answer, known)
