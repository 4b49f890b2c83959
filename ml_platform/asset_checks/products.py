"""The declared products with their expectations, outside Dagster."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from dbx_jobs.contract import Expectation
from ml_platform.components.declared import PRODUCTS, declared_product
from ml_platform.components.expectations import load_expectations
from ml_platform.components.model_product import EXPECTATIONS_FILE
from ml_platform.core.product import ProductSpec


@dataclass(frozen=True)
class Declared:
    """A product, the folder that declares it, and its expectations by table (`lake/flights`)."""

    product: ProductSpec
    folder: Path
    expectations: Mapping[str, Sequence[Expectation]]


def declared(product: ProductSpec, folder: Path) -> Declared:
    """`product` with the expectation file of `folder`; raises SpecError where that is wrong."""
    tables = {f"lake/{source}" for source in product.sources} | {f"features/{product.name}"}
    return Declared(product, folder, load_expectations(folder / EXPECTATIONS_FILE, tables))


def declared_products() -> list[Declared]:
    """All products of the defs folder."""
    folders = sorted(file.parent for file in PRODUCTS.glob("*/defs.yaml"))
    return [declared(declared_product(folder.name), folder) for folder in folders]
