"""The model registry as a Dagster resource, on top of dagster-mlflow's."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import cache as once
from typing import Any

import dagster as dg

from ml_platform.gateways.registry import Registry, initialise
from ml_platform.settings import Settings
from ml_platform.training.mlflow_store import mlflow_client

EXPERIMENT = "dagster"
"""MLflow experiment of the Dagster runs that change the registry, one MLflow run each."""


def registry_resource(settings: Settings) -> dg.ResourceDefinition:
    """Gives a `Registry`; MLflow is imported when a run needs it, not when the location loads."""

    @dg.resource(description="Model versions, the champion and gate decisions in MLflow.")
    def registry(context: dg.InitResourceContext) -> Iterator[Registry]:

        cache = settings.home / "models"
        initialise(settings.mlflow_tracking_uri, EXPERIMENT, cache, settings.mlflow_artifact_uri or None)
        with ExitStack() as ends:
            # Most runs only ask: those of drift and decisions would leave two MLflow runs a day.
            track = once(lambda: ends.enter_context(_tracked(context, settings)))
            yield Registry(mlflow_client(settings.mlflow_tracking_uri), cache, before_change=track)

    return registry


@contextmanager
def _tracked(context: dg.InitResourceContext, settings: Settings) -> Iterator[None]:
    """An MLflow run for the Dagster run, tagged with it."""
    from dagster_mlflow import mlflow_tracking

    config = {"experiment_name": EXPERIMENT, "mlflow_tracking_uri": settings.mlflow_tracking_uri}
    start: Any = mlflow_tracking.resource_fn
    tracking = start(context.replace_config({**config, "env": {}, "extra_tags": {}}))
    mlflow = next(tracking)
    yield
    next(tracking, None)
    # The resource leaves its MLflow run open for steps in other processes; ours all run in this one.
    mlflow.end_run()
