"""The lake: where landed files and Delta tables are, under one URI, on this machine or in Azure."""

from ml_platform.gateways.lake.files import File, Files
from ml_platform.gateways.lake.lake import NOTHING, Lake, files_at

__all__ = ["NOTHING", "File", "Files", "Lake", "files_at"]
