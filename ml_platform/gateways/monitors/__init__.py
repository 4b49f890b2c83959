"""Monitors that a place of serving brings itself: Azure ML's, or none on a laptop."""

from ml_platform.gateways.monitors.azureml import AzureMonitors
from ml_platform.gateways.monitors.local import NoMonitors
from ml_platform.gateways.monitors.protocol import Monitors, Reference, Watch

__all__ = ["AzureMonitors", "Monitors", "NoMonitors", "Reference", "Watch"]
