"""Opens a client of MLflow."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mlflow import MlflowClient


def mlflow_client(uri: str) -> "MlflowClient":
    """A client of the tracking server and registry at `uri`, which becomes that of the whole process.

    azureml-mlflow (1.62) reads and writes artifacts with the credentials of the process's server, whatever the client.
    """
    import mlflow

    mlflow.set_tracking_uri(uri)
    return mlflow.MlflowClient(uri)
