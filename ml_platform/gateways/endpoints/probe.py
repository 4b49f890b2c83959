"""Proves that an endpoint answers as its model does."""

from datetime import UTC, datetime
from pathlib import Path

from ml_platform.errors import EndpointError
from ml_platform.gateways.endpoints.client import ScoringClient
from ml_platform.scoring.state import EndpointDeclaration

TOLERANCE = 1e-6


def probe(declaration: EndpointDeclaration, scoring_uri: str, key: str) -> None:
    """Score the model's example records over HTTP and in this process; raises EndpointError when they differ.

    The probe does not enter the inference log.
    """
    from ml_platform.scoring.encoding import Encoder, EncodingError
    from ml_platform.scoring.pyfunc import ServingModel
    from ml_platform.scoring.serving import example_records

    deployment = declaration.deployment
    try:
        model = ServingModel(Path(deployment.serving_dir))
    except EncodingError as error:
        raise EndpointError(f"endpoint {declaration.name!r} cannot be verified: {error}") from error
    records = example_records(model.signature)
    expected = model.score_matrix(Encoder(model.signature).encode_records(records)).tolist()
    keys = dict.fromkeys(declaration.primary_key, "probe") | {declaration.event_time: datetime.now(UTC)}
    with ScoringClient(scoring_uri, key) as client:
        scores = client.score([record | keys for record in records], probe=True)
    served = (scores.model_name, scores.model_version)
    if served != (deployment.model_name, deployment.model_version):
        raise EndpointError(f"{scoring_uri} answers as {served}, not as {deployment}; something else has its port")
    answers = [prediction.probability for prediction in scores.predictions]
    if any(abs(answer - known) > TOLERANCE for answer, known in zip(answers, expected, strict=True)):
        raise EndpointError(
            f"{scoring_uri} answers {answers}, its model {expected}: {deployment.serving_dir} was changed after it was "
            "loaded; register the change as a new version and deploy that"
        )
