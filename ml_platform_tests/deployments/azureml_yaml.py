"""The YAML of Azure ML: read by the SDK's own loaders, and what it would send held against the published types."""

import logging
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from marshmallow import ValidationError as SchemaError

from ml_platform_tests.deployments import published_types
from ml_platform_tests.deployments.shapes import violations
from ml_platform_tests.deployments.yaml_files import filled

WORKSPACE = "Microsoft.MachineLearningServices/workspaces"


def problems(deployments: Path, specs: Path | None) -> Iterator[str]:
    """What is wrong with azure/azureml."""
    logging.getLogger("azure.ai.ml").setLevel(logging.ERROR)
    for path in sorted((deployments / "azure" / "azureml").glob("*.yml")):
        for problem in _of_one(path, specs):
            yield f"{path.relative_to(deployments)}: {problem}"


def _of_one(path: Path, specs: Path | None) -> Iterator[str]:
    from azure.ai.ml.exceptions import MlException

    text = filled(path.read_text())
    load, kind, version = _loader(text)
    if load is None:
        yield "its $schema is none of those that are known here"
        return
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / path.name
        file.write_text(text)
        try:
            entity = load(file)
            body = _body(entity)
        except (MlException, SchemaError, ValueError, TypeError) as error:
            yield " ".join(str(error).partition("isit this link")[0].split())[:500]
            return
    shape = published_types.resource_shape(specs / "azure", kind, version) if specs else None
    if shape is not None:
        yield from violations({"name": "name", **body}, shape, kind.rpartition("/")[2])


def _loader(text: str) -> tuple[Callable[..., Any] | None, str, str]:
    """How a file is loaded, the type that the service knows it by, and the API version that the SDK sends it with."""
    from azure.ai.ml import load_compute, load_environment, load_online_deployment, load_online_endpoint

    known = {
        "environment": (load_environment, f"{WORKSPACE}/environments/versions", "2023-04-01-preview"),
        "amlCompute": (load_compute, f"{WORKSPACE}/computes", "2023-08-01-preview"),
        "managedOnlineEndpoint": (load_online_endpoint, f"{WORKSPACE}/onlineEndpoints", "2022-02-01-preview"),
        "managedOnlineDeployment": (
            load_online_deployment,
            f"{WORKSPACE}/onlineEndpoints/deployments",
            "2023-04-01-preview",
        ),
    }
    for name, loader in known.items():
        if f"/{name}.schema.json" in text:
            return loader
    return None, "", ""


def _body(entity: Any) -> dict[str, Any]:
    """What the SDK would PUT, without a workspace to ask for the assets' ids."""
    from azure.ai.ml.entities import ManagedOnlineDeployment, ManagedOnlineEndpoint

    rest: Any
    if isinstance(entity, ManagedOnlineDeployment):
        rest = entity._to_rest_object(location="location")
    elif isinstance(entity, ManagedOnlineEndpoint):
        rest = entity._to_rest_online_endpoint(location="location")
    else:
        rest = entity._to_rest_object()
    # The SDK is half way from one kind of generated model to another.
    return rest.serialize() if hasattr(rest, "serialize") else rest.as_dict()
