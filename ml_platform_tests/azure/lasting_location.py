"""A code location with one asset for each place of Azure where programs run: its program works until it is ended."""

from typing import Any

import dagster as dg

from ml_platform.gateways.build import build_gateways
from ml_platform.gateways.jobs import Jobs
from ml_platform.settings import Settings
from ml_platform_tests.contract.programs import Asked, PlacedProgram

PROGRAMS = "ml_platform_tests.contract"


def _lasting(name: str, module: str) -> dg.AssetsDefinition:
    program: Any = PlacedProgram(f"{PROGRAMS}.{module}")

    @dg.asset(name=name)
    def lasting(context: dg.AssetExecutionContext, jobs: dg.ResourceParam[Jobs]) -> dg.MaterializeResult:
        place = getattr(jobs, name)
        place.run(context, program, Asked("works_on", "2013-01-01", str(Settings().home / f"{name}.word")))
        return dg.MaterializeResult()

    return lasting


@dg.definitions
def defs() -> dg.Definitions:
    """With the gateways of the deployment."""
    assets = [_lasting("spark", "programs"), _lasting("others", "lake_programs")]
    return dg.Definitions(
        assets=assets, resources={"jobs": build_gateways(Settings()).jobs}, executor=dg.in_process_executor
    )
