"""The Dagster components of the platform; this package is registered with `dg`."""

from ml_platform.components.model_product import ModelProduct

__all__ = ["ModelProduct"]
