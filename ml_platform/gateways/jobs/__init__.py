"""Runs a program in a process of its own, elsewhere or here, through Dagster Pipes."""

from ml_platform.gateways.jobs.azureml import AzureMLJobs
from ml_platform.gateways.jobs.by_program import JobsByProgram
from ml_platform.gateways.jobs.databricks import DatabricksJobs
from ml_platform.gateways.jobs.links import links
from ml_platform.gateways.jobs.protocol import WITHOUT_SPARK, Jobs, Program
from ml_platform.gateways.jobs.subprocess import SubprocessJobs
from ml_platform.gateways.jobs.warm import WarmJobs

__all__ = [
    "WITHOUT_SPARK",
    "AzureMLJobs",
    "DatabricksJobs",
    "Jobs",
    "JobsByProgram",
    "Program",
    "SubprocessJobs",
    "WarmJobs",
    "links",
]
