"""The search for parameters as a sweep job of Azure ML: several trials at once, the poor ones stopped early."""

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from dbx_jobs.contract import from_dict
from ml_platform.errors import JobError, SpecError
from ml_platform.training.blobs import open_container
from ml_platform.training.contract import Dimension, TrainingRequest, Trial
from ml_platform.training.mlflow_store import mlflow_client
from ml_platform.training.space import value_of

if TYPE_CHECKING:
    from azure.ai.ml.entities import Job
    from mlflow.entities import Run

TRIAL = "ml_platform.training.trial"
AT_ONCE = 4
"""Trials; a cluster with fewer machines runs as many as it has."""

SLACK = 0.1
"""A trial whose metric is worse than the best one's by more than this share, after the same part, is stopped."""

REQUEST_FILE = "request.json"


@dataclass(frozen=True)
class Sweep:
    """A sweep job that is asked for the parameters of a training request, in a folder of the lake."""

    request: TrainingRequest
    lake: str
    folder: str

    @staticmethod
    def wanted(asked: Mapping[str, Any]) -> bool:
        """Whether a training request is to be searched by a sweep, and has not been yet."""
        searched = asked.get("trials") and asked.get("search_space")
        return asked.get("search") == "sweep" and bool(searched) and not asked.get("swept")

    @staticmethod
    def of(asked: dict[str, Any], lake: str, folder: str) -> "Sweep":
        """The sweep of a training request."""
        return Sweep(from_dict(TrainingRequest, asked), lake, folder)

    def job(self, name: str, environment: str, compute: str, seconds: int) -> Any:
        """The sweep job; what it asks lies in the lake afterwards."""
        from azure.ai.ml import command
        from azure.ai.ml.entities import ManagedIdentityConfiguration
        from azure.ai.ml.sweep import BanditPolicy, RandomSamplingAlgorithm

        request, path = self.request, f"{self.folder}/{REQUEST_FILE}"
        with open_container(self.lake) as container:
            container.upload_blob(path, json.dumps(asdict(request)).encode(), overwrite=True)
        space = {key: expression(key, dimension) for key, dimension in request.search_space.items()}
        arguments = " ".join(f"--{key} ${{{{inputs.{key}}}}}" for key in space)
        trial = command(
            command=f"python -m {TRIAL} {self.lake} {path} {arguments}",
            inputs=dict.fromkeys(space, ""),
            environment=environment,
            compute=compute,
        )
        # Bayesian sampling knows no early stopping. The SDK takes an algorithm with its seed where it declares a name.
        sampling: Any = RandomSamplingAlgorithm(seed=request.seed, rule="random")
        sweep = trial(**space).sweep(
            primary_metric=request.metric.name,
            goal=request.metric.direction,
            sampling_algorithm=sampling,
            compute=compute,
            max_total_trials=request.trials,
            max_concurrent_trials=min(AT_ONCE, request.trials),
            timeout=seconds,
            early_termination_policy=BanditPolicy(slack_factor=SLACK, evaluation_interval=1),
            identity=ManagedIdentityConfiguration(),
        )
        sweep.name, sweep.display_name = name, f"sweep {request.tracking.model}"
        sweep.experiment_name = request.tracking.experiment
        return sweep

    def trials(self, job: "Job") -> list[Trial]:
        """What the trials tried and told MLflow, in their order; raises JobError when there is none."""
        client = mlflow_client(self.request.tracking.uri)
        experiment = client.get_experiment_by_name(self.request.tracking.experiment)
        mine = f"tags.mlflow.parentRunId = '{job.name}'"
        found = client.search_runs([experiment.experiment_id], mine) if experiment else []
        runs = sorted(found, key=lambda run: (len(run.info.run_id), run.info.run_id))
        if not runs:
            raise JobError(f"the sweep {job.name} has no trials in MLflow: look at {job.studio_url}")
        return [self._trial(number, run) for number, run in enumerate(runs)]

    def _trial(self, number: int, run: "Run") -> Trial:
        space, told = self.request.search_space, run.data.params
        parameters = {name: value_of(space, name, told[name]) for name in space if name in told}
        finished = run.info.status == "FINISHED"
        value = run.data.metrics.get(self.request.metric.name) if finished else None
        return Trial(number, parameters, value, run.info.status, run.info.run_id)


def expression(name: str, dimension: Dimension) -> Any:
    """A dimension as Azure ML's sweeps write it; a range on a logarithmic scale has its ends as logarithms there."""
    from azure.ai.ml.sweep import Choice, LogUniform, QLogUniform, QUniform, Uniform

    if dimension.choices is not None:
        return Choice(list(dimension.choices))
    if dimension.low is None or dimension.high is None:
        raise SpecError(f"the search space's {name!r} needs 'low' and 'high', or 'choices'")
    low, high = dimension.low, dimension.high
    ends = (math.log(low), math.log(high)) if dimension.log else (low, high)
    if dimension.integer:
        return QLogUniform(*ends, 1) if dimension.log else QUniform(*ends, 1)
    return LogUniform(*ends) if dimension.log else Uniform(*ends)
