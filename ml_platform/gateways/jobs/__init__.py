"""Runs a program in a process of its own, elsewhere or here, through Dagster Pipes."""

from ml_platform.gateways.jobs.protocol import Jobs, Program
from ml_platform.gateways.jobs.subprocess import SubprocessJobs
from ml_platform.gateways.jobs.warm import WarmJobs

__all__ = ["Jobs", "Program", "SubprocessJobs", "WarmJobs"]
