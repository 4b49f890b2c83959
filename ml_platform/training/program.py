"""Opens Pipes, parses the request and reports the result: the frame around both training programs."""

import os
from collections.abc import Callable
from typing import Any, TypeVar

from dagster_pipes import open_dagster_pipes

from dbx_jobs.contract import REPORT_KEY, from_dict, to_dict
from ml_platform.training.transport import pipes_options

Request = TypeVar("Request")
Progress = Callable[[str], None]
"""Takes one line for the log."""

PROCESS = {"OMP_WAIT_POLICY": "passive", "MLFLOW_DISABLE_TELEMETRY": "true"}
"""Read by libraries as they load. OpenMP threads that spin while waiting make a fit ten times slower on busy cores."""

CLUSTER_IDENTITY, IDENTITY = "DEFAULT_IDENTITY_CLIENT_ID", "AZURE_CLIENT_ID"
"""Where Azure ML names the identity of a cluster, and where azure-identity looks for the one to take."""


def run_program(request_type: type[Request], program: Callable[[Request, Progress], Any]) -> None:
    """Run `program` on the request that Dagster Pipes brought and report its result as one custom message.

    Libraries with OpenMP must not have been imported before: `program` imports them.
    """
    prepare_process()
    with open_dagster_pipes(**pipes_options()) as pipes:
        request = from_dict(request_type, pipes.get_extra("request"))
        report = program(request, pipes.log.info)
        pipes.report_custom_message({REPORT_KEY: to_dict(report)})


def prepare_process() -> None:
    """Set what libraries read, where the environment does not say otherwise."""
    for name, value in PROCESS.items():
        os.environ.setdefault(name, value)
    if mine := os.environ.get(CLUSTER_IDENTITY):
        os.environ.setdefault(IDENTITY, mine)
