"""All checks of what is deployed, by what they look at."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

from ml_platform_tests.deployments import (
    azureml_yaml,
    bundle,
    chart_instance,
    chart_values,
    dockerfiles,
    in_step,
    manifests,
    scripts,
    templates,
    workflows,
)

SPECS_VARIABLE = "ML_PLATFORM_SPECS"


def specs() -> Path | None:
    """The folder with the published types (azure/, databricks/), where there is one."""
    given = os.environ.get(SPECS_VARIABLE)
    return Path(given) if given else None


CHECKS: dict[str, Callable[[Path], Iterator[str]]] = {
    "Bicep": lambda root: templates.problems(root / "deployments", specs()),
    "Azure ML": lambda root: azureml_yaml.problems(root / "deployments", specs()),
    "Databricks": lambda root: bundle.problems(root / "deployments", specs()),
    "Dagster instances": lambda root: chart_instance.problems(root / "deployments"),
    "Helm values": lambda root: chart_values.problems(root / "deployments"),
    "Kubernetes": lambda root: manifests.problems(root / "deployments"),
    "Dockerfiles": lambda root: dockerfiles.problems(root / "deployments"),
    "scripts": lambda root: scripts.problems(root / "deployments"),
    "workflows": lambda root: workflows.problems(root / ".github" / "workflows"),
    "settings": lambda root: in_step.problems(root / "deployments"),
}
