"""The values of Dagster's official Helm chart: their keys, the dagster.yaml and the pods that come of them."""

import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ml_platform_tests.deployments import chart_instance, pods
from ml_platform_tests.deployments.chart_keys import VALUES
from ml_platform_tests.deployments.yaml_files import documents


def problems(deployments: Path) -> Iterator[str]:
    """What is wrong with azure/helm/values.yaml."""
    path = deployments / "azure" / "helm" / "values.yaml"
    values = documents(path)[0]
    found = list(_unknown(values, VALUES, ""))
    # What is made of the values is only looked at where they are whole.
    for problem in found or (*_instance(values), *_pods(values)):
        yield f"{path.relative_to(deployments)}: {problem}"


def _unknown(value: Any, keys: Any, place: str) -> Iterator[str]:
    if isinstance(keys, list):
        for number, child in enumerate(value):
            yield from _unknown(child, keys[0], f"{place}[{number}]")
    elif isinstance(keys, dict):
        for name, child in value.items() if isinstance(value, Mapping) else [("", value)]:
            below = f"{place}.{name}".strip(".")
            if name in keys:
                yield from _unknown(child, keys[name], below)
            else:
                yield f"{below} is no value of the chart that is known here (chart_keys.py)"
    elif isinstance(keys, type | frozenset):
        yield from _wrong(value, keys, place)


def _wrong(value: Any, right: type | frozenset[str], place: str) -> Iterator[str]:
    if isinstance(right, type):
        if type(value) is not right:
            yield f"{place} is {value!r}, not {right.__name__}"
    elif value not in right:
        yield f"{place} is {value!r}, not one of {', '.join(sorted(right))}"


def _instance(values: Mapping[str, Any]) -> Iterator[str]:
    yield from (f"dagster.yaml: {problem}" for problem in chart_instance.refused(chart_instance.instance(values)))
    if values["dagsterWebserver"]["enableReadOnly"] or values["ingress"]["enabled"]:
        yield "the web server would be reached without a sign-in: see kubernetes/"


def _pods(values: Mapping[str, Any]) -> Iterator[str]:
    found = {
        "dagsterWebserver": _pod(values["dagsterWebserver"], values["serviceAccount"]["name"]),
        "dagsterDaemon": _pod(values["dagsterDaemon"], values["serviceAccount"]["name"]),
    }
    subchart = values["dagster-user-deployments"]
    for deployment in subchart["deployments"]:
        found[deployment["name"]] = _pod(deployment, subchart["serviceAccount"]["name"])
    for name, pod in found.items():
        document = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "pod"}, "spec": pod}
        yield from (f"{name}: {problem}" for problem in (*pods.invalid(document), *pods.unsafe(pod)))
    yield from (f"runLauncher: {problem}" for problem in _run_pods(values))


def _run_pods(values: Mapping[str, Any]) -> Iterator[str]:
    given = values["runLauncher"]["config"]["k8sRunLauncher"]
    container = {"name": "dagster", "volumeMounts": given["volumeMounts"], **given["runK8sConfig"]["containerConfig"]}
    spec = {"containers": [container], "volumes": given["volumes"], **given["runK8sConfig"]["podSpecConfig"]}
    found = list(pods.invalid({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "run"}, "spec": spec}))
    yield from found
    # Dagster takes keys that are none for a programming error: it is asked only where there are none.
    if not found:
        job = _run(values)
        yield from pods.invalid(job)
        yield from pods.unsafe(job["spec"]["template"]["spec"])


def _pod(given: Mapping[str, Any], account: str) -> dict[str, Any]:
    """The pod of a deployment of the chart, after its templates."""
    image = given["image"]
    container = {
        "name": "dagster",
        "image": f"{image['repository']}:{image['tag']}",
        "env": given["env"],
        "envFrom": [
            *({"configMapRef": each} for each in given.get("envConfigMaps", [])),
            *({"secretRef": each} for each in given.get("envSecrets", [])),
        ],
        **{key: given[key] for key in ("securityContext", "resources", "volumeMounts") if key in given},
    }
    spec = {"serviceAccountName": account, "containers": [container], "volumes": given["volumes"]}
    return spec | ({"securityContext": given["podSecurityContext"]} if "podSecurityContext" in given else {})


KUBECONFIG = """
apiVersion: v1
kind: Config
current-context: nowhere
contexts: [{name: nowhere, context: {cluster: nowhere, user: nobody}}]
clusters: [{name: nowhere, cluster: {server: "https://127.0.0.1:9"}}]
users: [{name: nobody, user: {}}]
"""


def _run(values: Mapping[str, Any]) -> dict[str, Any]:
    """The job that the launcher would make for a run, made by Dagster's own code."""
    from dagster import DagsterRun
    from dagster_k8s import K8sRunLauncher
    from dagster_k8s.job import construct_dagster_k8s_job
    from kubernetes.client import ApiClient

    config: dict[str, Any] = {**chart_instance.launcher(values), "load_incluster_config": False}
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as kubeconfig:
        kubeconfig.write(KUBECONFIG)
        kubeconfig.flush()
        launcher = K8sRunLauncher(**config, kubeconfig_file=kubeconfig.name)
    context = launcher.get_container_context_for_run(DagsterRun(job_name="job"))
    job = construct_dagster_k8s_job(
        context.get_k8s_job_config("registry/code-location:1", launcher),
        args=["dagster", "api", "execute_run"],
        job_name="dagster-run",
        user_defined_k8s_config=context.run_k8s_config,
    )
    made: Any = ApiClient().sanitize_for_serialization(job)
    return made
