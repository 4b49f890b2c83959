"""Runs the Spark programs on Databricks, serverless or on new clusters, with Dagster Pipes over a volume."""

from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any

from ml_platform.gateways.jobs.invocation import Context
from ml_platform.gateways.jobs.protocol import Program

if TYPE_CHECKING:
    from ml_platform.gateways.jobs.databricks.place import Place


@dataclass(frozen=True)
class DatabricksJobs:
    """Programs as one-time runs of a workspace. Credentials come from the variables that databricks-sdk reads.

    `volume` (`/Volumes/<catalog>/<schema>/<volume>`) carries the wheel and what Pipes says. `compute` is "serverless"
    or the path of a YAML or JSON file with a `new_cluster`. `store_secret` (SCOPE/KEY) has the online store's password
    for the program that fills it, unless the cluster's variables have it. A run may take `timeout`, in the queue and in
    work; one that Databricks does not stop by then is cancelled from here after another `patience`.
    """

    host: str
    volume: str
    compute: str = "serverless"
    store_secret: str = ""
    timeout: timedelta = timedelta(hours=2)
    patience: timedelta = timedelta(minutes=10)

    def run(self, context: Context, program: Program, request: Any) -> dict:
        """See `Jobs.run`. A run that an earlier attempt at this step has left behind is found again, not repeated."""
        return self._place.run(context, program, request)

    @cached_property
    def _place(self) -> "Place":
        # It imports databricks-sdk, which the code location does without.
        from ml_platform.gateways.jobs.databricks.place import Place

        return Place(self)
