"""Writes a training to MLflow so that killing it at any point and running it again leaves exactly one version."""

import hashlib
import json
import os
import re
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ml_platform.errors import RegistryError
from ml_platform.training.contract import REPORT_PATH, Tracking, TrainingReport, TrainingRequest
from ml_platform.training.mlflow_store import experiment_id, log_folder, mlflow_client

if TYPE_CHECKING:
    import pandas as pd
    from mlflow.entities.model_registry import ModelVersion

SERVING_REQUIREMENTS = ("mlflow", "msgspec", "numpy", "onnxruntime", "pandas")
LIBRARIES = ("lightgbm", "numpy", "onnx", "onnxmltools", "optuna", "pandas", "scikit-learn", "skl2onnx")
"""What, besides the request, the bits of a model depend on."""

MODEL_PATH = "model"

JOB_RUN, MLFLOW_PARENT_RUN_ID = "MLFLOW_RUN_ID", "mlflow.parentRunId"
"""The variable in which Azure ML names a job's own MLflow run, and the tag that puts a run below another."""


def fingerprint(request: TrainingRequest) -> str:
    """Hash of everything that decides the model: the request without its tracking, and the libraries' versions."""
    # Where it was searched changes nothing, what was found there does.
    relevant = {key: value for key, value in asdict(request).items() if key not in ("tracking", "search")}
    relevant["libraries"] = _pins(LIBRARIES)
    return hashlib.sha256(json.dumps(relevant, sort_keys=True).encode()).hexdigest()[:32]


class TrainingRun:
    """One MLflow run of one fingerprint, from the look for an earlier one to the registered version."""

    def __init__(self, tracking: Tracking, fingerprint: str) -> None:

        self.client = mlflow_client(tracking.uri)
        self.tracking = tracking
        self.fingerprint = fingerprint
        self.experiment_id = experiment_id(self.client, tracking.experiment, tracking.artifact_root)

    def registered(self) -> "ModelVersion | None":
        """The version that an earlier run with this fingerprint registered; its lost runs are closed."""
        found = self.client.search_model_versions(f"name='{self.tracking.model}'")
        versions = [item for item in found if item.tags.get("fingerprint") == self.fingerprint]
        earlier = min(versions, key=lambda item: int(item.version), default=None)
        self._close_lost_runs(earlier.run_id if earlier else None)
        return earlier

    def start(self, tags: dict[str, str]) -> str:
        """Start the run; gives its id."""
        mine = {"fingerprint": self.fingerprint, "model": self.tracking.model}
        # A job that was preempted trains anew in the same MLflow run of its own, which may hold artifacts already.
        job = os.environ.get(JOB_RUN)
        of_job = {MLFLOW_PARENT_RUN_ID: job} if job else {}
        run = self.client.create_run(self.experiment_id, tags=tags | mine | of_job)
        self.run_id: str = run.info.run_id
        return self.run_id

    def log(self, parameters: dict[str, Any], metrics: dict[str, float]) -> None:
        """Log parameters and metrics; characters that MLflow refuses in a metric's name become underscores."""
        from mlflow.entities import Metric, Param

        self.client.log_batch(
            self.run_id,
            params=[Param(key, str(value)[:6000]) for key, value in parameters.items()],
            metrics=[Metric(re.sub(r"[^\w./ -]", "_", key), value, 0, 0) for key, value in metrics.items()],
        )

    def log_model(self, serving: Path, example: "pd.DataFrame", output: str, scratch: Path) -> None:
        """Save the serving directory as an MLflow model without any pickle and log it as artifacts of the run."""
        import mlflow.pyfunc

        numeric = example.select_dtypes(exclude=object).columns
        example = example.astype(dict.fromkeys(numeric, "float64"))
        mlflow.pyfunc.save_model(
            path=str(scratch / MODEL_PATH),
            loader_module="ml_platform.scoring.pyfunc",
            data_path=str(serving),
            signature=_signature(example, output),
            input_example=example,
            pip_requirements=[f"{name}=={number}" for name, number in _pins(SERVING_REQUIREMENTS).items()],
        )
        log_folder(self.client, self.run_id, scratch / MODEL_PATH, MODEL_PATH)

    def log_files(self, files: dict[str, bytes], scratch: Path) -> None:
        """Log small files by their path among the run's artifacts."""
        root = scratch / "files"
        for name, content in files.items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_bytes(content)
        log_folder(self.client, self.run_id, root)

    def register(self, tags: dict[str, str]) -> str:
        """Register the logged model; version and tags are written in one call, so none is without its fingerprint."""
        from mlflow.exceptions import MlflowException

        try:
            self.client.create_registered_model(self.tracking.model)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
        source = f"{self.client.get_run(self.run_id).info.artifact_uri}/{MODEL_PATH}"
        created = self.client.create_model_version(
            self.tracking.model, source, self.run_id, tags={**tags, "fingerprint": self.fingerprint}
        )
        self.client.set_terminated(self.run_id, "FINISHED")
        return self._only(str(created.version))

    def fail(self) -> None:
        """Mark the run failed."""
        self.client.set_terminated(self.run_id, "FAILED")

    def report_of(self, earlier: "ModelVersion", scratch: Path) -> dict[str, Any]:
        """The report that the run of an `earlier` version logged; raises RegistryError when it is gone."""
        from mlflow.exceptions import MlflowException

        name = f"{earlier.name} version {earlier.version}"
        try:
            path = self.client.download_artifacts(str(earlier.run_id), REPORT_PATH, str(scratch))
        except (MlflowException, OSError) as error:
            raise RegistryError(f"{name} has lost {REPORT_PATH}; delete the version and train again") from error
        return json.loads(Path(path).read_text())

    def _only(self, created: str) -> str:
        """The version of this run: when its answer was lost, MLflow's client has asked for a second one and a third."""
        found = self.client.search_model_versions(f"name='{self.tracking.model}'")
        mine = sorted(int(item.version) for item in found if item.run_id == self.run_id)
        for twin in mine[1:]:
            self.client.delete_model_version(self.tracking.model, str(twin))
        return str(mine[0]) if mine else created

    def _close_lost_runs(self, finished: str | None) -> None:
        """End the runs that a killed process left running: the one that registered its version had finished."""
        mine = f"tags.fingerprint = '{self.fingerprint}' and tags.model = '{self.tracking.model}'"
        for run in self.client.search_runs([self.experiment_id], mine):
            if run.info.status == "RUNNING":  # Azure ML has no filter on it
                status = "FINISHED" if run.info.run_id == finished else "KILLED"
                self.client.set_terminated(run.info.run_id, status)


def report_bytes(report: TrainingReport) -> bytes:
    """The report as it is kept among the run's artifacts."""
    return json.dumps(asdict(report)).encode()


def _signature(example: "pd.DataFrame", output: str) -> Any:
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, Schema

    inputs: list[Any] = [
        ColSpec("string" if example[name].dtype == object else "double", name, required=False) for name in example
    ]
    return ModelSignature(inputs=Schema(inputs), outputs=Schema([ColSpec("float", output)]))


def _pins(names: tuple[str, ...]) -> dict[str, str]:
    return {name: version(name) for name in names}
