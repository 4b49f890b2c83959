"""What a person says about a roll-out on the command line: approve what waits, or go back."""

from rich.console import Console

from ml_platform.components.declared import PRODUCTS, declared_product
from ml_platform.components.model_product import product_definitions
from ml_platform.core import keys
from ml_platform.definitions import deployed
from ml_platform.errors import GateError
from ml_platform.gateways.build import build_gateways
from ml_platform.gateways.registry import Registry
from ml_platform.instance import deployed_home
from ml_platform.runs import materialise
from ml_platform.services import open_instance
from ml_platform.settings import Settings
from ml_platform.stages.serving import rollout_of, tell_rolled_back
from ml_platform.training.mlflow_store import mlflow_client


def approve_waiting(console: Console, product: str, person: str) -> None:
    """Record the approval and go on with the roll-out in a run of this process; raises GateError when nothing waits.

    In a deployment its sensor starts the run: the launcher would not know this process, and monitoring end its run.
    """
    settings = Settings()
    instance, registry = open_instance(settings), _registry(settings)
    spec, champion = declared_product(product), registry.champion(product)
    if champion is None:
        raise GateError(f"{product} has no champion: there is nothing to approve")
    if deployed_home():
        registry.approve_rollout(product, champion.version, person)
        console.print(
            f"version {champion.version} of {product} is approved by {person}: sensor endpoint_{product} goes on"
        )
        return
    step = "__".join(keys.endpoint(product))
    config = {step: {"config": {"approve_version": champion.version, "approved_by": person}}}
    materialise(
        instance,
        deployed(product_definitions(spec, PRODUCTS / product), settings),
        [keys.endpoint(product)],
        lambda _, event: console.print(f"  {event}"),
        config=config,
    )
    console.print(f"version {champion.version} of {product} serves, approved by {person}")


def go_back(product: str, person: str) -> str:
    """Put the version before back; the sentence that says so."""
    settings = Settings()
    instance = open_instance(settings)
    spec, registry = declared_product(product), _registry(settings)
    version = rollout_of(spec, build_gateways(settings).endpoints, registry, settings).go_back(product, person)
    told = f"version {version} of {product} serves again: rolled back by {person}"
    tell_rolled_back(instance, spec, registry, told)
    return told


def _registry(settings: Settings) -> Registry:
    return Registry(mlflow_client(settings.mlflow_tracking_uri), settings.home / "models")
