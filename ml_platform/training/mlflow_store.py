"""Opens a client of MLflow, and writes what only its writer writes."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
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


def experiment_id(client: "MlflowClient", name: str, artifact_root: str | None = None) -> str:
    """The id of an experiment, which is made where there is none; `artifact_root` is where it keeps its artifacts then.

    It may be made meanwhile: by another process, or by a first attempt whose answer was lost.
    """
    from mlflow.exceptions import MlflowException

    if found := client.get_experiment_by_name(name):
        return found.experiment_id
    try:
        return client.create_experiment(name, artifact_location=artifact_root)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS" or not (found := client.get_experiment_by_name(name)):
            raise
        return found.experiment_id


@contextmanager
def own_artifact() -> Iterator[None]:
    """Takes an artifact that is there already for the one that is written: nobody else writes one of its name.

    azureml-mlflow writes only what is not there. When the answer to that is lost, its second try finds the first.
    """
    try:
        yield
    except Exception as error:  # azure-core's, which is not installed where no store is Azure's
        if getattr(error, "error_code", None) != "BlobAlreadyExists":
            raise


def log_folder(client: "MlflowClient", run_id: str, folder: Path, path: str = "") -> None:
    """Log the files of a folder as artifacts below `path` of a run that nobody else writes them to."""
    # One by one: of many that azureml-mlflow sends at once it does not say which was refused.
    for file in (file for file in sorted(folder.rglob("*")) if file.is_file()):
        below = (Path(path) / file.relative_to(folder)).parent.as_posix()
        with own_artifact():
            client.log_artifact(run_id, str(file), None if below == "." else below)
