"""What a container that serves one deployment is told, and what it tells: by its environment and by the lake."""

from collections.abc import Mapping

import msgspec

from ml_platform.scoring.measures import Measures
from ml_platform.scoring.state import Deployment, EndpointDeclaration

DECLARATION_VARIABLE = "ML_PLATFORM_SCORING_DECLARATION"
"""The environment variable with a Contained, as JSON."""
PORT_VARIABLE = "ML_PLATFORM_SCORING_PORT"
BEHIND_VARIABLE = "ML_PLATFORM_SCORING_BEHIND"
BEHIND = "front-end"
"""What BEHIND_VARIABLE must be: who starts the container vouches that a front end checks the keys of callers."""
MODEL_VARIABLE = "AZUREML_MODEL_DIR"
"""Where Azure ML has put the model's files."""

PORT = 5001
LIVENESS, READINESS = "/health/live", "/health/ready"

INFERENCE_LOG = "modelDataCollector"
"""The folder of the lake with the inference logs of all endpoints."""


class Contained(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One deployment of an endpoint; `endpoint` declares it alone, with all requests, `lake` is the lake's URI."""

    endpoint: EndpointDeclaration
    lake: str

    @property
    def deployment(self) -> Deployment:
        """The deployment that is served."""
        return self.endpoint.deployments[0]


class Roles(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which deployments of an endpoint answer callers, beside those whose answers nobody gets.

    The gateway writes it: a deployment is added before it gets traffic, when no mirrored request is on its way to it
    any more, and taken out after it has lost its traffic, before any request is mirrored to it.
    """

    generation: int
    serving: tuple[str, ...]


class Told(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What one instance says of itself: the generation of Roles that it follows, and what it has counted."""

    roles: int
    counted_as: str
    beat: int
    measures: Measures


def endpoint_folder(lake: str, endpoint: str) -> str:
    """The folder of an endpoint's documents."""
    return f"{lake.rstrip('/')}/endpoints/{endpoint}"


ROLES_FILE = "roles.json"


def told_file(deployment: str, instance: str) -> str:
    """The document of an instance, below `endpoint_folder`."""
    return f"{told_folder(deployment)}{instance}.json"


def told_folder(deployment: str) -> str:
    """The documents of all instances of a deployment, those that have ended too."""
    return f"measures/{deployment}/"


def contained(environment: Mapping[str, str]) -> Contained:
    """What the environment declares; raises ValueError that says what is missing or wrong."""
    if environment.get(BEHIND_VARIABLE) != BEHIND:
        raise ValueError(
            "a container answers whoever reaches it, without a key: only where a front end checks the keys set "
            f"{BEHIND_VARIABLE}={BEHIND}. On this machine endpoints are deployed with ml-platform"
        )
    if missing := [name for name in (DECLARATION_VARIABLE, MODEL_VARIABLE) if not environment.get(name)]:
        raise ValueError(f"{missing} must be set: the declaration (JSON) and the directory of the model")
    try:
        found = msgspec.json.decode(environment[DECLARATION_VARIABLE], type=Contained)
    except msgspec.DecodeError as error:
        raise ValueError(f"{DECLARATION_VARIABLE} is no declaration: {error}") from error
    if len(found.endpoint.deployments) != 1:
        raise ValueError(f"{DECLARATION_VARIABLE} declares {len(found.endpoint.deployments)} deployments, not one")
    return found
