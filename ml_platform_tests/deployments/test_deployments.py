"""What is deployed passes each check, and each kind of error that is planted into a copy of it fails one."""

import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from ml_platform.settings import PROJECT_ROOT
from ml_platform_tests.deployments.checks import CHECKS, SPECS_VARIABLE, specs


@pytest.mark.parametrize("check", CHECKS)
def test_what_is_deployed_passes_the_check(check):
    assert list(CHECKS[check](PROJECT_ROOT)) == []


@dataclass(frozen=True)
class Planted:
    """In `file`, `right` becomes `wrong`; the check must say `said`. With `types` it takes the published types."""

    check: str
    file: str
    right: str
    wrong: str
    said: str
    types: bool = False

    @property
    def id(self) -> str:
        return f"{self.check}: {self.said[:60]}"


BICEP, AZUREML = "deployments/azure/bicep", "deployments/azure/azureml"
KUBERNETES, IMAGES = "deployments/azure/kubernetes", "deployments/azure/images"
VALUES, BUNDLE = "deployments/azure/helm/values.yaml", "deployments/azure/databricks"
WORKFLOW = ".github/workflows/deploy-environment.yaml"

PLANTED = [
    # Bicep: syntax, names, modules, types, rules, parameters.
    Planted("Bicep", f"{BICEP}/main.bicep", "module vault ", "module = vault ", "syntax"),
    Planted("Bicep", f"{BICEP}/main.bicep", "name: short\n", "name: shrt\n", "nothing declares shrt"),
    Planted("Bicep", f"{BICEP}/main.bicep", "zones: size.zones", "zone: size.zones", "has no parameter zone"),
    Planted("Bicep", f"{BICEP}/main.bicep", "    nodes: size.nodes\n", "", "needs nodes"),
    Planted("Bicep", f"{BICEP}/main.bicep", "redis.outputs.uri", "redis.outputs.url", "has no output url"),
    Planted("Bicep", f"{BICEP}/main.bicep", "'modules/redis.bicep'", "'modules/rediss.bicep'", "there is no modules"),
    Planted("Bicep", f"{BICEP}/dev.bicepparam", "environment = 'dev'", "environment = 'test'", "not one of ['dev'"),
    Planted("Bicep", f"{BICEP}/prod.bicepparam", "  nodeSize: 'Standard_D4ds_v5'\n", "", "needs size.nodeSize"),
    Planted("Bicep", f"{BICEP}/modules/storage.bicep", "isHnsEnabled", "isHns", "properties.isHns is unknown"),
    Planted("Bicep", f"{BICEP}/modules/storage.bicep", "'StorageV2'", "'StorageV3'", "kind is 'StorageV3', not one of"),
    Planted("Bicep", f"{BICEP}/modules/storage.bicep", "@2026-09-01' = {", "@2019-01-01' = {", "cannot be checked"),
    Planted(
        "Bicep", f"{BICEP}/modules/storage.bicep", "allowSharedKeyAccess: false\n", "\n", "SharedKeyAccess is None"
    ),
    Planted("Bicep", f"{BICEP}/modules/storage.bicep", "TLS1_2", "TLS1_0", "minimumTlsVersion is 'TLS1_0'"),
    Planted("Bicep", f"{BICEP}/modules/vault.bicep", "privateNetworking ? 'Disabled' : ", "", "never be 'Disabled'"),
    Planted("Bicep", f"{BICEP}/modules/vault.bicep", "@secure()\nparam cookie", "param cookie", "without @secure()"),
    Planted("Bicep", f"{BICEP}/modules/postgres.bicep", "passwordAuth: 'Dis", "passwordAuth: 'En", "passwordAuth is"),
    Planted(
        "Bicep",
        f"{BICEP}/modules/roles.bicep",
        "ba92f5b4-2d11-453d-a403-e96b0029c9fe",
        "b24988ac-6180-42a0-ab88-20f7382dd24c",
        "the role Contributor",
    ),
    Planted("Bicep", f"{BICEP}/autoscale-role.bicep", "Settings/write'", "Settings/*'", "Settings/*', not"),
    Planted("Bicep", f"{BICEP}/autoscale-role.bicep", "roleName:", "role:", "properties.role is unknown"),
    Planted(
        "Bicep",
        f"{BICEP}/modules/redis.bicep",
        "output id",
        "output key string = database.listKeys()\noutput id",
        "shows",
    ),
    Planted(
        "Bicep", f"{BICEP}/modules/azureml.bicep", "'AmlCompute'", "'Cluster'", "'Cluster', not one of", types=True
    ),
    Planted("Bicep", f"{BICEP}/modules/azureml.bicep", "accountName:", "account:", "lacks accountName", types=True),
    # Azure ML: the SDK's loaders, and the published types of what they would send.
    Planted("Azure ML", f"{AZUREML}/endpoint.yml", "auth_mode: key", "auth_mode: none", "auth_mode"),
    Planted("Azure ML", f"{AZUREML}/deployment.yml", "instance_count: 2", "instance_count: two", "instance_count"),
    Planted("Azure ML", f"{AZUREML}/deployment.yml", "failure_threshold", "failures", "failures"),
    Planted("Azure ML", f"{AZUREML}/scoring-environment.yml", "path: /score", "route: /score", "scoring_route"),
    Planted("Azure ML", f"{AZUREML}/training-environment.yml", "image: $", "images: $", "images"),
    Planted("Azure ML", f"{AZUREML}/spot-compute.yml", "tier: low_priority", "tier: spot", "tier"),
    Planted("Azure ML", f"{AZUREML}/spot-compute.yml", "/amlCompute.schema", "/compute.schema", "none of those"),
    # Databricks: the bundle's schema, its variables, the cluster.
    Planted("Databricks", f"{BUNDLE}/databricks.yml", "volume_type: MANAGED", "volume_typ: MANAGED", "typ", types=True),
    Planted("Databricks", f"{BUNDLE}/databricks.yml", "[USE_SCHEMA]", "[USE_TABLES]", "USE_TABLES", types=True),
    Planted("Databricks", f"{BUNDLE}/databricks.yml", "catalog: ml_platform_dev", "catlog: dev", "no variable catlog"),
    Planted(
        "Databricks", f"{BUNDLE}/databricks.yml", "schemas.platform.name", "schemas.main.name", "no resources.schemas"
    ),
    Planted("Databricks", f"{BUNDLE}/new-cluster.yaml", "autoscale:", "autoscaling:", "autoscaling", types=True),
    Planted("Dagster instances", "deployments/local/dagster.yaml", "max_retries: 3", "retries: 3", "retries"),
    Planted(
        "Dagster instances", "deployments/local/dagster.yaml", "ProcessRunLauncher", "RunLauncher2", "no RunLauncher2"
    ),
    # Helm: the chart's keys, Dagster's own configuration, the pods that come of it.
    Planted("Helm values", VALUES, "dbPoolRecycle:", "dbPoolRecyle:", "dagsterWebserver.dbPoolRecyle is no value"),
    Planted("Helm values", VALUES, "maxRetries: 3", "maxRetries: many", "maxRetries is 'many', not int"),
    Planted("Helm values", VALUES, "type: azure_wif", "type: azure_password", "azure_password"),
    Planted("Helm values", VALUES, "granularity: op", "granularity: job", "granularity"),
    Planted("Helm values", VALUES, "type: K8sRunLauncher", "type: KubeRunLauncher", "there is no KubeRunLauncher"),
    Planted("Helm values", VALUES, "      container: logs\n", "", "compute_logs"),
    Planted("Helm values", VALUES, "runAsNonRoot: true", "runAsNonRoot: false", "may be root"),
    Planted(
        "Helm values", VALUES, "limits: { memory: 3Gi }", "limits: { cpu: 3 }", "runLauncher: dagster: it has no limit"
    ),
    Planted("Helm values", VALUES, "emptyDir: { sizeLimit: 4Gi }", "emptydir: {}", "runLauncher"),
    Planted("Helm values", VALUES, "nodeSelector: { pool: runs }", "nodeSelectr: { pool: runs }", "nodeSelectr"),
    Planted("Helm values", VALUES, "ingress: { enabled: false }", "ingress: { enabled: true }", "without a sign-in"),
    # Kubernetes: its schemas, pod security, names.
    Planted("Kubernetes", f"{KUBERNETES}/sign-in.yaml", "replicas: 2", "replicas: two", "replicas"),
    Planted(
        "Kubernetes", f"{KUBERNETES}/sign-in.yaml", "readOnlyRootFilesystem: true", "privileged: true", "readOnlyRoot"
    ),
    Planted(
        "Kubernetes", f"{KUBERNETES}/sign-in.yaml", "configMapRef: {name: sign-in}", "configMapRef: {name: x}", "Map x"
    ),
    Planted(
        "Kubernetes", f"{KUBERNETES}/secrets.yaml", "objectName: alert-urls\n  ", "objectName: key\n  ", "not fetch"
    ),
    Planted(
        "Kubernetes",
        f"{KUBERNETES}/network-policies.yaml",
        "policyTypes: [Egress]",
        "policyType: [Egress]",
        "policyType",
    ),
    Planted("Kubernetes", f"{KUBERNETES}/web-server-read-only.yaml", "azure_wif: {}", "azure: {}", "auth_provider"),
    Planted(
        "Kubernetes", VALUES, "claimName: code-location-home", "claimName: home", "there is no PersistentVolumeClaim"
    ),
    # Images, scripts, workflows.
    Planted("Dockerfiles", f"{IMAGES}/scoring.Dockerfile", "USER 10001\n", "", "runs as root"),
    Planted(
        "Dockerfiles", f"{IMAGES}/scoring.Dockerfile", "bookworm@sha256:a36c", "bookworm AS x # a36c", "not pinned"
    ),
    Planted("Dockerfiles", f"{IMAGES}/scoring.Dockerfile", "COPY dbx_jobs", "ADD https://example.com/x", "ADD unpacks"),
    Planted("Dockerfiles", f"{IMAGES}/platform.Dockerfile", "ENV PIP", "ENV API_TOKEN=abc PIP", "a secret would stay"),
    Planted("Dockerfiles", f"{IMAGES}/platform.Dockerfile", "--constraint constraints.txt ", "", "other versions"),
    Planted("Dockerfiles", f"{IMAGES}/platform.Dockerfile", "WORKDIR /app\nCOPY", "RUN cd /app\nCOPY", "DL3003"),
    Planted(
        "scripts", "deployments/azure/deploy", '"$scratch/values.yaml" --wait', "$scratch/values.yaml --wait", "SC2086"
    ),
    Planted("workflows", WORKFLOW, "timeout-minutes: 120", "timeout: 120", "timeout"),
    Planted(
        "workflows", WORKFLOW, "azure/login@a457da9ea143d694b1b9c7c869ebb04ebe844ef5", "azure/login@v2", "not pinned"
    ),
    Planted(
        "workflows", WORKFLOW, "${{ vars.AZURE_CLIENT_ID }}", "${{ secrets.AZURE_CLIENT_ID }}", "a secret is stored"
    ),
    Planted("workflows", WORKFLOW, '"$ENVIRONMENT"', '"${{ inputs.environment }}"', "template-injection"),
    # Settings and code, in both directions.
    Planted(
        "settings",
        f"{BICEP}/main.bicep",
        "  ML_PLATFORM_AZUREML_COMPUTE:",
        "  X:",
        "no file sets ML_PLATFORM_AZUREML_COMP",
    ),
    Planted("settings", f"{BICEP}/modules/storage.bicep", "lake/pipes/azureml/", "lake/pipes/", "more than that"),
    Planted("settings", f"{BICEP}/modules/storage.bicep", "lake/pipes/azureml/", "pipes/azureml/", "no rule deletes"),
    Planted("settings", f"{BICEP}/modules/storage.bicep", "GreaterThan: 7 ", "GreaterThan: 0 ", "after 0 days"),
    Planted(
        "settings",
        f"{BICEP}/main.bicep",
        "ML_PLATFORM_LAKE_URI:",
        "ML_PLATFORM_LAKE_URL:",
        "ML_PLATFORM_LAKE_URL, which",
    ),
    Planted(
        "settings", VALUES, "ML_PLATFORM_CODE_REVISION", "ML_PLATFORM_REVISION", "ML_PLATFORM_REVISION, which nothing"
    ),
    Planted(
        "settings", f"{BICEP}/main.bicep", "_TIMEOUT_MINUTES: '120'", "_TIMEOUT_MINUTES: 'long'", "timeout_minutes"
    ),
    Planted(
        "settings", f"{KUBERNETES}/namespace.yaml", "${RUN_CLIENT_ID}", "${RUNS_CLIENT_ID}", "${RUNS_CLIENT_ID} is no"
    ),
    Planted(
        "settings", f"{BICEP}/main.bicep", "  CLUSTER: ", "  UNUSED: '1'\n  CLUSTER: ", "nothing uses the output UNUSED"
    ),
]


@pytest.mark.parametrize("planted", PLANTED, ids=lambda planted: planted.id)
def test_a_planted_error_fails_the_check(planted, tmp_path):
    if planted.types and specs() is None:
        pytest.skip(f"{SPECS_VARIABLE} names no folder of published types")
    for folder in ("deployments", ".github", "docs"):
        shutil.copytree(PROJECT_ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("*.png"))
    file = tmp_path / planted.file
    text = file.read_text()
    assert planted.right in text
    file.write_text(text.replace(planted.right, planted.wrong, 1))
    assert [problem for problem in CHECKS[planted.check](tmp_path) if planted.said in problem]


def test_the_command_says_what_is_not_checked_without_the_published_types(monkeypatch):
    monkeypatch.delenv(SPECS_VARIABLE, raising=False)
    command = [sys.executable, "-m", "ml_platform_tests.deployments"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=Path(PROJECT_ROOT), check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{SPECS_VARIABLE} names no folder" in done.stdout
