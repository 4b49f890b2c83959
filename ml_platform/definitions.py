"""Composition root: settings to gateways to the products in the defs folder."""

import warnings
from typing import Any

import dagster as dg

from ml_platform.gateways.build import build_gateways
from ml_platform.settings import PROJECT_ROOT, Settings
from ml_platform.stages import alerting, retries
from ml_platform.stages.registry_resource import registry_resource

# Said by Dagster about its own libraries; the versions are pinned.
for category in (dg.BetaWarning, dg.PreviewWarning):
    warnings.filterwarnings("ignore", category=category)


@dg.definitions
def defs() -> dg.Definitions:
    """The code location."""
    return deployed(dg.load_from_defs_folder(path_within_project=PROJECT_ROOT), Settings())


def deployed(products: dg.Definitions, settings: Settings, **instead: Any) -> dg.Definitions:
    """`products` with the gateways of the deployment that `settings` describe, or with others `instead`."""
    resources = {**vars(build_gateways(settings)), "settings": settings, "registry": registry_resource(settings)}
    resources |= instead
    # Steps only start programs and record what they report, so they need no process of their own.
    shared = dg.Definitions(
        resources=resources, sensors=[*alerting.build(), retries.build()], executor=dg.in_process_executor
    )
    return dg.Definitions.merge(products, shared)
