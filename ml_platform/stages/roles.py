"""The roles of a feature table's columns, as the programs are told."""

from dbx_jobs.contract import Roles
from ml_platform.core.product import ProductSpec


def roles(product: ProductSpec) -> Roles:
    """The declared columns of the feature table that are no features."""
    table = product.features
    return Roles(list(table.primary_key), table.event_time, table.prediction_time, product.model.label)
