"""MLflow: does it answer, in which version, and may the platform's experiment be read and written."""

import os
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import httpx

from ml_platform.doctor.check import CheckFailed, Seen
from ml_platform.doctor.secrets import hider
from ml_platform.gateways.registry import initialise
from ml_platform.settings import Settings
from ml_platform.stages.registry_resource import EXPERIMENT

if TYPE_CHECKING:
    from mlflow.exceptions import MlflowException

TAG = "ml_platform.doctor"
"""Of the experiment: when a doctor last wrote to it."""

HTTP_SECONDS = 10
UNKNOWN = ("401", "UNAUTHENTICATED", "Unauthorized", "InvalidAuthenticationToken", "ExpiredAuthenticationToken")
FORBIDDEN = ("403", "PERMISSION_DENIED", "Forbidden", "AuthorizationFailed")
"""Who asks, or what is asked, is refused: MLflow keeps no status, and a workspace has codes of its own."""


def look_at_tracking(settings: Settings) -> Seen:
    """Read the experiment that the platform uses, create it as the platform would where it is not, and write a tag."""
    from importlib.metadata import version

    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    uri = settings.mlflow_tracking_uri
    try:
        client = MlflowClient(uri)
        initialise(uri, EXPERIMENT, settings.home / "models", settings.mlflow_artifact_uri)
        found = client.get_experiment_by_name(EXPERIMENT)
        if found is None:
            raise _failure(uri, "the experiment is not there after it was created")
        client.set_experiment_tag(found.experiment_id, TAG, datetime.now(UTC).isoformat(timespec="seconds"))
        client.search_model_versions(f"name='{EXPERIMENT}'")  # the registry is a service of its own
    except MlflowException as error:
        raise _refused(uri, error) from error
    except OSError as error:
        raise _failure(uri, f"{type(error).__name__}: {error}") from error
    seen: Seen = {"uri": hider(None)(uri), "client": version("mlflow"), "experiment": EXPERIMENT, "registry": True}
    return seen | _server(uri)


def _server(uri: str) -> Seen:
    """The version of a server; a database and a workspace have none."""
    if not uri.startswith("http"):
        return {}
    try:
        return {"server": httpx.get(f"{uri.rstrip('/')}/version", timeout=HTTP_SECONDS).raise_for_status().text.strip()}
    except httpx.HTTPError:
        return {"server": "does not tell its version"}


def _refused(uri: str, error: "MlflowException") -> CheckFailed:
    said, status = error.message.splitlines()[0][:300], error.get_http_status_code()
    if "out-of-date database schema" in error.message:
        return CheckFailed(said, f"Make a copy of it, then run: mlflow db upgrade {hider(None)(uri)}")
    if any(word in said or word == error.error_code for word in UNKNOWN):
        return CheckFailed(
            f"MLflow refuses who asks: {said}",
            "Set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or for a workspace an identity of its tenant",
        )
    if any(word in said or word == error.error_code for word in FORBIDDEN):
        return CheckFailed(
            f"MLflow refuses what is asked: {said}",
            f"Let this identity create experiments and models at {_place(uri)}: on an Azure ML workspace that is the "
            "role AzureML Data Scientist",
        )
    return _failure(uri, f"{said} ({error.error_code}, {status})")


def _failure(uri: str, why: str) -> CheckFailed:
    if uri.startswith("sqlite"):
        path = uri.removeprefix("sqlite:///")
        return CheckFailed(f"{path}: {why}", f"Let the user {os.getuid()} write to {path} and its folder")
    return CheckFailed(
        f"MLflow at {_place(uri)}: {why}",
        f"Start MLflow at {_place(uri)} or let this machine reach it, or correct ML_PLATFORM_MLFLOW_TRACKING_URI",
    )


def _place(uri: str) -> str:
    parts = urlsplit(uri)
    return f"{parts.scheme}://{parts.hostname or ''}{f':{parts.port}' if parts.port else ''}"
