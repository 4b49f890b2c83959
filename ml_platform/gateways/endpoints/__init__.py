"""Creates, probes and removes real-time endpoints: one protocol, and the host on this machine."""

from ml_platform.gateways.endpoints.client import Prediction, Scores, ScoringClient
from ml_platform.gateways.endpoints.local import LocalEndpoints
from ml_platform.gateways.endpoints.probe import probe
from ml_platform.gateways.endpoints.protocol import Endpoints, EndpointState
from ml_platform.scoring.measures import Counts
from ml_platform.scoring.state import Deployment, EndpointDeclaration, Keys

__all__ = [
    "Counts",
    "Deployment",
    "EndpointDeclaration",
    "EndpointState",
    "Endpoints",
    "Keys",
    "LocalEndpoints",
    "Prediction",
    "Scores",
    "ScoringClient",
    "probe",
]
