"""A code location with the platform's own sensor that acts on decisions; training and roll-out only take notes."""

import dagster as dg

from ml_platform.components.declared import declared_product
from ml_platform.core import keys
from ml_platform.core.product import ProductSpec
from ml_platform.settings import Settings
from ml_platform.stages import retraining, retries
from ml_platform.stages.training import Training
from ml_platform_tests.e2e.line import PRODUCT

SECONDS = 5


def product() -> ProductSpec:
    """The declared product, whose decisions are looked at as often as possible."""
    declared = declared_product(PRODUCT)
    often = declared.automation.model_copy(update={"landing_seconds": SECONDS})
    return declared.model_copy(update={"automation": often})


def _note(context: dg.AssetExecutionContext, what: str) -> None:
    folder = Settings().home / "notes"
    folder.mkdir(exist_ok=True)
    with (folder / "notes").open("a") as notes:
        notes.write(f"{what} {context.run.tags[retraining.DECISION_TAG]}\n")


@dg.asset(key=keys.candidate(PRODUCT))
def candidate(context: dg.AssetExecutionContext, config: Training) -> None:
    """Notes the window."""
    _note(context, f"train until {config.end}")


@dg.asset(key=keys.champion(PRODUCT), deps=[candidate])
def champion(context: dg.AssetExecutionContext) -> None:
    """Notes that it was promoted."""
    _note(context, "promote")


@dg.asset(key=keys.endpoint(PRODUCT), deps=[champion])
def endpoint(context: dg.AssetExecutionContext) -> None:
    """Notes that it was rolled out."""
    _note(context, "roll out")


_, actor = retraining.build(product())
defs = dg.Definitions(
    assets=[candidate, champion, endpoint], sensors=[actor, retries.build()], executor=dg.in_process_executor
)
