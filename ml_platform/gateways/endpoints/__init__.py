"""Creates, probes and removes real-time endpoints: one protocol, on this machine or managed by Azure ML."""

from ml_platform.gateways.endpoints.azureml import AzureEndpoints
from ml_platform.gateways.endpoints.azureml_deployment import Hosting
from ml_platform.gateways.endpoints.client import Prediction, Scores, ScoringClient
from ml_platform.gateways.endpoints.local import LocalEndpoints
from ml_platform.gateways.endpoints.probe import probe
from ml_platform.gateways.endpoints.protocol import Endpoints, EndpointState
from ml_platform.scoring.measures import Counts
from ml_platform.scoring.state import Autoscale, Deployment, EndpointDeclaration, Keys

__all__ = [
    "Autoscale",
    "AzureEndpoints",
    "Counts",
    "Deployment",
    "EndpointDeclaration",
    "EndpointState",
    "Endpoints",
    "Hosting",
    "Keys",
    "LocalEndpoints",
    "Prediction",
    "Scores",
    "ScoringClient",
    "probe",
]
