"""A pod of AKS comes to the lake, to Azure ML and to Databricks by the token of its service account, without a secret.

What a lake is by this credential, contract/test_lake.py tests with all others.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from ml_platform.doctor.databricks import DatabricksWorkspace
from ml_platform.errors import LakeError
from ml_platform.gateways.jobs.databricks.client import connected
from ml_platform.gateways.lake import Lake
from ml_platform.gateways.workspace import workspace_client
from ml_platform.scoring.blobs import BlobFolder
from ml_platform.scoring.folders import Unreachable
from ml_platform.settings import Settings
from ml_platform_tests.emulators.databricks.started import Databricks
from ml_platform_tests.emulators.entering import add, become, enter
from ml_platform_tests.emulators.identity import WORKLOAD
from ml_platform_tests.emulators.lakes import Storage, workload_environment
from ml_platform_tests.emulators.process import Cloud, Emulator
from ml_platform_tests.emulators.public_names import public_names
from ml_platform_tests.loopback_cloud import WORKSPACE

ENTRA = "login.microsoftonline.com"
UNTRUSTED: list[dict[str, Any]] = [
    {"subject": WORKLOAD.replace("run", "web")},
    {"audience": "api://elsewhere"},
    {"seconds": -60},
]


@pytest.fixture
def names(storage: Storage) -> Iterator[dict[str, str]]:
    """By which MSAL asks Entra's public name what authorities there are."""
    with public_names({ENTRA: int(storage.front.address.rpartition(":")[2])}) as found:
        yield found


def in_pod(storage: Storage, names: dict[str, str], patch: pytest.MonkeyPatch, **claims: Any) -> str:
    """A lake for a pod whose service account has a token with such claims."""
    become(patch, storage.environment("workload") | names)
    workload_environment(storage.front.cloud, storage.front.address, **claims)
    return storage.lake(f"lake-{uuid4().hex}")


def test_the_clients_of_the_lake_log_in(
    storage: Storage, names: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    uri = in_pod(storage, names, monkeypatch)
    Lake(uri).write_text("a.json", "by obstore")
    folder = BlobFolder(uri)
    assert folder.read("a.json") == b"by obstore"
    folder.append("log/1.jsonl", b"by azure-storage-blob\n")
    assert Lake(uri).files.read("log/1.jsonl") == b"by azure-storage-blob\n"


@pytest.mark.parametrize("claims", UNTRUSTED, ids=lambda claims: next(iter(claims)))
def test_a_service_account_that_is_not_trusted_is_told_without_its_token(
    storage: Storage, names: dict[str, str], monkeypatch: pytest.MonkeyPatch, claims: dict[str, Any]
) -> None:
    uri = in_pod(storage, names, monkeypatch, **claims)
    token = Path(os.environ["AZURE_FEDERATED_TOKEN_FILE"]).read_text()
    with pytest.raises(LakeError, match="no token was given.*AZURE_FEDERATED_TOKEN_FILE") as lake:
        Lake(uri).write_text("a.json", "")
    with pytest.raises(Unreachable) as folder:
        BlobFolder(uri).read("a.json")
    for told in (lake.value, folder.value):
        assert token not in f"{told!r} {told.__cause__!r} {told.__cause__}"


@pytest.fixture
def pod_of_arm(arm_process: Emulator, monkeypatch: pytest.MonkeyPatch) -> Iterator[Emulator]:
    """A pod that reaches the workspace."""
    become(monkeypatch, workload_environment(arm_process.cloud, arm_process.address))
    with public_names({ENTRA: int(arm_process.address.rpartition(":")[2])}) as names:
        add(monkeypatch, names)
        enter(arm_process, monkeypatch)
        for name in ("IDENTITY_ENDPOINT", "IDENTITY_HEADER"):
            monkeypatch.delenv(name)
        arm_process.clear()
        yield arm_process
    arm_process.assert_clean()


def test_the_client_of_azure_ml_logs_in(pod_of_arm: Emulator) -> None:
    found: Any = workspace_client(WORKSPACE).workspaces.get("ws-loopback")
    assert found.location == "westeurope"
    tokens = [call["path"] for call in pod_of_arm.record()["calls"] if call["path"].endswith("/oauth2/v2.0/token")]
    assert tokens


def test_the_client_of_azure_ml_gets_nothing_for_an_account_that_is_not_trusted(pod_of_arm: Emulator) -> None:
    from azure.core.exceptions import ClientAuthenticationError

    workload_environment(pod_of_arm.cloud, pod_of_arm.address, **UNTRUSTED[0])
    with pytest.raises(ClientAuthenticationError, match="AADSTS700213"):
        workspace_client(WORKSPACE).workspaces.get("ws-loopback")


def pod_of_databricks(spark: Databricks, patch: pytest.MonkeyPatch, **claims: Any) -> Settings:
    """As the values of Dagster's chart have it."""
    cloud: Cloud = spark.emulator.cloud
    variables = workload_environment(cloud, "https://127.0.0.1:1", **claims)
    become(patch, variables)
    patch.delenv("DATABRICKS_CLIENT_SECRET", raising=False)
    patch.setenv("DATABRICKS_AUTH_TYPE", "file-oidc")
    patch.setenv("DATABRICKS_CLIENT_ID", spark.client_id)
    patch.setenv("DATABRICKS_OIDC_TOKEN_FILE", variables["AZURE_FEDERATED_TOKEN_FILE"])
    return Settings(databricks_host=spark.emulator.address, databricks_volume=spark.volume)


def test_the_client_of_databricks_logs_in(workspace: Databricks, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = pod_of_databricks(workspace, monkeypatch)
    assert connected(settings.databricks_host).current_user.me().user_name == workspace.client_id
    assert DatabricksWorkspace(settings).look()["login"] == "file-oidc"


@pytest.mark.parametrize("claims", UNTRUSTED, ids=lambda claims: next(iter(claims)))
def test_a_service_account_that_databricks_does_not_trust_is_told_without_its_token(
    workspace: Databricks, monkeypatch: pytest.MonkeyPatch, claims: dict[str, Any]
) -> None:
    from ml_platform.doctor.check import CheckFailed

    settings = pod_of_databricks(workspace, monkeypatch, **claims)
    token = Path(os.environ["DATABRICKS_OIDC_TOKEN_FILE"]).read_text()
    with pytest.raises(CheckFailed, match="takes no login of this process.*No federation policy") as failed:
        DatabricksWorkspace(settings).look()
    assert token not in f"{failed.value!r} {failed.value.__cause__!r}"
