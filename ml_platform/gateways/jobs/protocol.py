"""What a stage may ask of the place where programs run."""

from enum import Enum
from typing import Any, Protocol

import dagster as dg


class Program(Enum):
    """The programs of the platform, by module."""

    INGEST = "dbx_jobs.jobs.ingest"
    BUILD_FEATURES = "dbx_jobs.jobs.build_features"
    ONLINE_FEATURES = "dbx_jobs.jobs.online_features"
    CHECK_ONLINE = "dbx_jobs.jobs.check_online"
    INFERENCE_LOG = "dbx_jobs.jobs.inference_log"
    GROUND_TRUTH = "dbx_jobs.jobs.ground_truth"
    PROFILE = "dbx_jobs.jobs.profile"
    PERFORMANCE = "dbx_jobs.jobs.performance"
    CHECK_TABLES = "dbx_jobs.jobs.check_tables"
    TRAIN = "ml_platform.training.train"
    COMPARE = "ml_platform.training.compare"


WITHOUT_SPARK = frozenset({Program.TRAIN, Program.COMPARE})


class Jobs(Protocol):
    """Runs a program to its end and returns what it reported."""

    def run(
        self, context: dg.AssetExecutionContext | dg.AssetCheckExecutionContext, program: Program, request: Any
    ) -> dict:
        """Run `program` on the dataclass `request`; its report as a dict.

        Raises JobError when the program fails or ends without a report. An interruption ends the program too.
        """
        ...
