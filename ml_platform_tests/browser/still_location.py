"""The code location without its sensors and schedules: on it nothing happens but what a person clicks."""

import dagster as dg

from ml_platform import definitions  # the module: a location has one object of definitions in its scope


@dg.definitions
def defs() -> dg.Definitions:
    """Assets, checks and resources of the code location."""
    found = definitions.defs()
    return dg.Definitions(
        assets=found.assets, asset_checks=found.asset_checks, resources=found.resources, executor=found.executor
    )
