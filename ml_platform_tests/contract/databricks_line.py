"""One asset on Databricks, in a process that tests kill: HOST VOLUME WAY PLACE [RUN], the run to do again.

Prints the report as JSON. The environment: FAIL has the step fail once it has the report, ALONE gives it a process.
"""

import json
import os
import sys
from typing import Any

import dagster as dg

from ml_platform.gateways.jobs.databricks import DatabricksJobs
from ml_platform_tests.contract.killed_line import executed, job_of
from ml_platform_tests.contract.programs import Asked, PlacedProgram


@dg.asset
def table(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
    host, volume, way, place = sys.argv[1:5]
    program: Any = PlacedProgram("ml_platform_tests.contract.programs")
    report = DatabricksJobs(host, volume).run(context, program, Asked(way, "2013-01-01", place))
    if "FAIL" in os.environ:
        raise ValueError("what the program reported is not good enough")
    print(json.dumps(report))
    return dg.MaterializeResult()


def line() -> dg.JobDefinition:
    return job_of(table, dg.multiprocess_executor if "ALONE" in os.environ else dg.in_process_executor)


if __name__ == "__main__":
    from ml_platform_tests.contract import databricks_line

    sys.exit(not executed(databricks_line.line, sys.argv[5] if len(sys.argv) > 5 else None))
