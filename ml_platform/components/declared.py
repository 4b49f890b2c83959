"""Reads a product's declaration outside Dagster, for the command line."""

from dagster._utils.pydantic_yaml import parse_yaml_file_to_pydantic

from ml_platform.core.product import ProductSpec
from ml_platform.core.spec import Spec
from ml_platform.errors import SpecError
from ml_platform.settings import PROJECT_ROOT

PRODUCTS = PROJECT_ROOT / "ml_platform" / "defs"


class _Declaration(Spec):
    type: str
    attributes: ProductSpec


def declared_product(name: str) -> ProductSpec:
    """The product in the folder `name` of the defs; raises SpecError when there is none."""
    path = PRODUCTS / name / "defs.yaml"
    if not path.is_file():
        known = ", ".join(sorted(file.parent.name for file in PRODUCTS.glob("*/defs.yaml")))
        raise SpecError(f"There is no product {name!r}; declared are: {known}")
    return parse_yaml_file_to_pydantic(_Declaration, path.read_text(), str(path)).attributes
