"""One asset whose program is a job of Azure ML, in a process that tests kill: LAKE TRACKING_URI WAY PLACE [RUN].

RUN is the run to do again. Prints the report as JSON. The environment is that of a loopback cloud.
"""

import json
import sys
from dataclasses import replace
from typing import Any

import dagster as dg

from ml_platform.gateways.jobs import AzureMLJobs
from ml_platform_tests.contract.killed_line import executed, job_of
from ml_platform_tests.contract.place import PROGRAMS, Place
from ml_platform_tests.contract.programs import Asked, PlacedProgram
from ml_platform_tests.loopback_cloud import COMPUTE, TRAINING, WORKSPACE, Loopback

FAR_PROGRAMS = "lake_programs"


def jobs_in(lake: str, tracking_uri: str) -> AzureMLJobs:
    return AzureMLJobs(WORKSPACE, lake, tracking_uri, COMPUTE, f"{TRAINING}:1", poll_seconds=0.2)


def place_in(cloud: Loopback, **changes: Any) -> Place:
    """The workspace as a place where programs run."""
    jobs = replace(jobs_in(cloud.lake, cloud.tracking_uri), **changes)
    return Place(jobs, keeps_streams_apart=False, programs=FAR_PROGRAMS)


@dg.asset
def table(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
    lake, tracking_uri, way, place = sys.argv[1:5]
    program: Any = PlacedProgram(f"{PROGRAMS}.{FAR_PROGRAMS}")
    print(json.dumps(jobs_in(lake, tracking_uri).run(context, program, Asked(way, "2013-01-01", place))))
    return dg.MaterializeResult()


def line() -> dg.JobDefinition:
    return job_of(table)


if __name__ == "__main__":
    from ml_platform_tests.contract import azureml_line

    sys.exit(not executed(azureml_line.line, sys.argv[5] if len(sys.argv) > 5 else None))
