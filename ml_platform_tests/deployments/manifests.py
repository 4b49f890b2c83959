"""The manifests of Kubernetes that the chart has not, and what they and the chart's values name of each other."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ml_platform_tests.deployments import chart_instance, pods
from ml_platform_tests.deployments.yaml_files import documents

# A resource of the secrets store's driver: Kubernetes has no schema of it.
SECRETS = "SecretProviderClass"


def problems(deployments: Path) -> Iterator[str]:
    """What is wrong with azure/kubernetes."""
    folder = deployments / "azure" / "kubernetes"
    found = {path: documents(path) for path in sorted(folder.glob("*.yaml"))}
    values = documents(deployments / "azure" / "helm" / "values.yaml")[0]
    present = _named([document for each in found.values() for document in each])
    for path, each in found.items():
        for document in each:
            place = f"{path.relative_to(deployments)}: {document['kind']} {document['metadata']['name']}"
            for problem in _of_one(document, present):
                yield f"{place}: {problem}"
    for problem in _references(values, present):
        yield f"azure/helm/values.yaml: {problem}"


def _of_one(document: Mapping[str, Any], present: set[tuple[str, str]]) -> Iterator[str]:
    if document["kind"] == SECRETS:
        yield from _secrets(document)
        return
    yield from pods.invalid(document)
    if document["kind"] != "Namespace" and document["metadata"].get("namespace") != "dagster":
        yield "it is not in the namespace dagster"
    if document["kind"] == "Deployment":
        pod = document["spec"]["template"]["spec"]
        yield from pods.unsafe(pod)
        yield from _references(pod, present)
        if ("ServiceAccount", pod.get("serviceAccountName", "")) not in present:
            yield f"there is no service account {pod.get('serviceAccountName')}"
    if document["kind"] == "ConfigMap" and "dagster.yaml" in document["data"]:
        import yaml

        yield from chart_instance.refused(yaml.safe_load(document["data"]["dagster.yaml"]))


def _secrets(document: Mapping[str, Any]) -> Iterator[str]:
    spec = document["spec"]
    if (
        spec.get("provider") != "azure"
        or not {"keyvaultName", "tenantId", "clientID", "objects"} <= spec["parameters"].keys()
    ):
        yield "it names no vault, tenant, identity and objects of the provider azure"
    for secret in spec.get("secretObjects", []):
        for datum in secret["data"]:
            if f"objectName: {datum['objectName']}\n" not in spec["parameters"]["objects"]:
                yield f"it does not fetch {datum['objectName']}"


def _named(found: list[Mapping[str, Any]]) -> set[tuple[str, str]]:
    """Kind and name of what there is, the chart's own and what a deployment makes by itself included."""
    present = {(document["kind"], document["metadata"]["name"]) for document in found}
    for document in found:
        if document["kind"] == SECRETS:
            present |= {("Secret", secret["secretName"]) for secret in document["spec"]["secretObjects"]}
    chart = {("ConfigMap", "dagster-workspace-yaml"), ("ConfigMap", "ml-platform-settings")}
    return present | chart


def _references(value: Any, present: set[tuple[str, str]]) -> Iterator[str]:
    """What is named below a value and is not there."""
    if isinstance(value, list):
        for each in value:
            yield from _references(each, present)
    if not isinstance(value, Mapping):
        return
    for key, child in value.items():
        for kind, name in _reference(key, child):
            if (kind, name) not in present:
                yield f"there is no {kind} {name}"
        yield from _references(child, present)


def _reference(key: str, child: Any) -> Iterator[tuple[str, str]]:
    kinds = {"envConfigMaps": "ConfigMap", "envSecrets": "Secret", "configMapRef": "ConfigMap", "secretRef": "Secret"}
    if key in kinds:
        for each in child if isinstance(child, list) else [child]:
            yield kinds[key], each["name"]
    elif key == "configMap":
        yield "ConfigMap", child["name"]
    elif key == "secretProviderClass":
        yield SECRETS, child
    elif key == "claimName":
        yield "PersistentVolumeClaim", child
