"""Objects of Kubernetes: held against its schemas, and pods against what namespace and project ask of them."""

from collections.abc import Iterator, Mapping
from typing import Any

import kubernetes_validate

# The oldest version that AKS still offers for the schemas to be those of the cluster.
VERSION = "1.34"


def invalid(document: Mapping[str, Any]) -> Iterator[str]:
    """What Kubernetes would refuse in an object."""
    try:
        kubernetes_validate.validate(dict(document), VERSION, strict=True)
    except kubernetes_validate.ValidationError as error:
        yield f"{'.'.join(map(str, error.path))}: {error.message[:200]}"
    except kubernetes_validate.SchemaNotFoundError as error:
        yield error.message


def unsafe(pod: Mapping[str, Any]) -> Iterator[str]:
    """What the profile `restricted` of pod security refuses, and what would let one pod starve the others."""
    whole = pod.get("securityContext") or {}
    if not whole.get("runAsNonRoot") or not whole.get("runAsUser"):
        yield "the pod may be root: securityContext.runAsNonRoot and runAsUser"
    if (whole.get("seccompProfile") or {}).get("type") != "RuntimeDefault":
        yield "the pod has no seccompProfile RuntimeDefault"
    for container in (*pod.get("initContainers", []), *pod["containers"]):
        yield from (f"{container['name']}: {problem}" for problem in _unsafe(container))


def _unsafe(container: Mapping[str, Any]) -> Iterator[str]:
    own = container.get("securityContext") or {}
    if own.get("allowPrivilegeEscalation") is not False:
        yield "allowPrivilegeEscalation is not false"
    if own.get("readOnlyRootFilesystem") is not True:
        yield "readOnlyRootFilesystem is not true"
    if "ALL" not in (own.get("capabilities") or {}).get("drop", []):
        yield "it keeps capabilities: drop ALL"
    resources = container.get("resources") or {}
    if "memory" not in resources.get("limits", {}):
        yield "it has no limit of memory"
    if not {"cpu", "memory"} <= resources.get("requests", {}).keys():
        yield "it requests no cpu and memory"
    image = container["image"]
    if image.endswith(":latest") or not ({":", "@"} & set(image.rpartition("/")[2])):
        yield f"the image {image} is not pinned"
