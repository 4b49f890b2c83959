"""The code location of the live tests: the declared product with smaller numbers, which looks often."""

from types import SimpleNamespace

import dagster as dg

from ml_platform.components.declared import PRODUCTS, declared_product
from ml_platform.components.model_product import ModelProduct
from ml_platform.core.product import ProductSpec
from ml_platform.definitions import deployed
from ml_platform.settings import Settings
from ml_platform_tests.e2e.line import PRODUCT, smaller

SECONDS = 5
"""Between two looks of a sensor: the least that Dagster's daemon does."""


def product() -> ProductSpec:
    """The product of the end-to-end tests, whose folders and logs are looked at as often as possible."""
    declared = smaller(declared_product(PRODUCT))
    often = declared.automation.model_copy(update={"landing_seconds": SECONDS, "log_seconds": SECONDS})
    return declared.model_copy(update={"automation": often})


@dg.definitions
def defs() -> dg.Definitions:
    """The product with its sensors and schedules, in its deployment."""
    built = ModelProduct(product()).build_defs(SimpleNamespace(path=PRODUCTS / PRODUCT))  # type: ignore[arg-type]
    return deployed(built, Settings())
