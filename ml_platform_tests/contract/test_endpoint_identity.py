"""Containers of an endpoint come to the lake and to Redis as the endpoint's identity, or with a secret read as it."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from dbx_jobs.online_contract import PASSWORD_VARIABLE
from ml_platform.errors import DeploymentRefused, EndpointError, SettingsError
from ml_platform.gateways.endpoints import AzureEndpoints, EndpointDeclaration, Hosting
from ml_platform.scoring.headers import CLOCK_HEADER
from ml_platform.settings import Settings
from ml_platform_tests.contract.cloud import SCORING_ENVIRONMENT, Loopback
from ml_platform_tests.contract.cloud_world import CloudWorld, cloud_world
from ml_platform_tests.contract.local_world import NAME, eventually
from ml_platform_tests.emulators.arm.endpoint_identity import client_id_of
from ml_platform_tests.emulators.entering import environ
from ml_platform_tests.loopback_cloud import WORKSPACE
from ml_platform_tests.online_stores import AS_OF, PASSWORD, REQUEST, declared_online, fill, managed_redis, redis_server

pytestmark = pytest.mark.cloud

IDENTITY = (
    f"{WORKSPACE.partition('/providers/')[0]}/providers/Microsoft.ManagedIdentity/userAssignedIdentities/id-serving"
)
VAULT = "${{keyvault:https://kv-loopback.vault.azure.net/secrets/online-store/0123456789abcdef}}"
CONNECTION = "${{azureml://connections/online-store/credentials/password}}"


@pytest.fixture
def world(tmp_path: Path, hosting_cloud: Loopback) -> Iterator[CloudWorld]:
    with cloud_world(tmp_path, hosting_cloud) as found:
        yield found
    hosting_cloud.arm._control("POST", "injected", {"secrets": {}, "readable": True})


def gateway(world: CloudWorld, **hosting: str) -> AzureEndpoints:
    hosted = Hosting(WORKSPACE, SCORING_ENVIRONMENT, **{"identity": IDENTITY, **hosting})  # type: ignore[arg-type]
    return AzureEndpoints(hosted, world.cloud.lake, world.models, 60.0)


def completing(world: CloudWorld, store: str) -> EndpointDeclaration:
    """An endpoint that looks up in `store` what a request lacks."""
    return world.of(world.declaration("1").deployments, {"blue": 100}, online=declared_online(store))


def note_of(world: CloudWorld, endpoints: AzureEndpoints) -> dict[str, Any]:
    """What the log says of how a request was completed."""
    headers = {
        "authorization": f"Bearer {endpoints.keys(NAME).primary}",
        CLOCK_HEADER: datetime.fromtimestamp(AS_OF, UTC).isoformat(),
    }
    answer = httpx.post(endpoints.scoring_uri(NAME), json=REQUEST, headers=headers, timeout=30)
    assert answer.status_code == 200, answer.text
    eventually(lambda: bool(world.logged("model_inputs")))
    (row,) = world.logged("model_inputs").values()
    return json.loads(row["online"])


def held(world: CloudWorld) -> dict[str, str]:
    """The variables of the deployment, as the service holds them."""
    name = Hosting(WORKSPACE, SCORING_ENVIRONMENT).endpoint_name(NAME)
    return world.cloud.client().online_deployments.get("blue", name).environment_variables


def test_an_identity_that_endpoints_are_given_reads_and_writes_the_lake(world: CloudWorld) -> None:
    endpoints = gateway(world)
    assert endpoints.deploy(world.declaration("1")).status == "serving"
    assert held(world)["AZURE_CLIENT_ID"] == client_id_of(IDENTITY)
    assert any(call["path"].startswith("/msi/endpoints/") for call in world.cloud.arm.record()["calls"])


def test_without_its_client_id_a_container_gets_no_token(world: CloudWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ml_platform.gateways.endpoints.azureml_shares.FOLLOW_SECONDS", 3.0)
    monkeypatch.setattr("ml_platform.gateways.endpoints.azureml_deploying._client_id", lambda _: "")
    with pytest.raises(EndpointError, match="0 of 1 instances follow their role in the lake"):
        gateway(world).deploy(world.declaration("1"))


def test_it_logs_in_to_a_redis_without_a_password(world: CloudWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    with managed_redis(world.cloud.arm.cloud) as admin, monkeypatch.context() as filling:
        store = f"rediss://127.0.0.1:{admin.get_connection_kwargs()['port']}/0"
        filling.setenv(PASSWORD_VARIABLE, PASSWORD)
        fill(store)
        endpoints = gateway(world)
        endpoints.deploy(completing(world, store))
        assert PASSWORD_VARIABLE not in held(world)
        assert "missing" not in note_of(world, endpoints)


@pytest.mark.parametrize("reference", [VAULT, CONNECTION])
def test_the_password_of_a_redis_is_read_by_the_service_and_stands_nowhere(
    world: CloudWorld, tmp_path: Path, reference: str
) -> None:
    world.cloud.arm._control("POST", "injected", {"secrets": {reference: PASSWORD}})
    with redis_server(tmp_path / "redis") as (store, _):
        with environ({**world.cloud.environment, PASSWORD_VARIABLE: PASSWORD}):
            fill(store)
        endpoints = gateway(world, store_secret=reference)
        endpoints.deploy(completing(world, store))
        assert "missing" not in note_of(world, endpoints)
    assert held(world)[PASSWORD_VARIABLE] == reference
    with world.cloud.blobs() as container:
        texts = [container.download_blob(name).readall() for name in container.list_blob_names()]
    assert not any(PASSWORD.encode() in text for text in texts)


def test_an_endpoint_that_looks_nothing_up_is_not_given_it(world: CloudWorld) -> None:
    gateway(world, store_secret=VAULT).deploy(world.declaration("1"))
    assert PASSWORD_VARIABLE not in held(world)


@pytest.mark.parametrize("kept", [{"secrets": {}}, {"secrets": {VAULT: PASSWORD}, "readable": False}])
def test_a_secret_that_cannot_be_read_is_no_fault_of_the_model(world: CloudWorld, kept: dict[str, Any]) -> None:
    world.cloud.arm._control("POST", "injected", kept)
    endpoints = gateway(world, store_secret=VAULT)
    with pytest.raises(EndpointError, match="cannot read the secret of the environment variable") as failed:
        endpoints.deploy(completing(world, "redis://127.0.0.1:1/0"))
    assert not isinstance(failed.value, DeploymentRefused)


@pytest.mark.parametrize("value", ["c4n4ry", "${{keyvault:c4n4ry}}", "${{azureml://connections/c4n4ry}}"])
def test_what_refers_to_no_secret_is_refused_and_not_shown(value: str) -> None:
    for good in ("", VAULT, CONNECTION):
        assert Settings(azureml_online_store_secret=good).azureml_online_store_secret == good
    with pytest.raises(SettingsError, match="refers to no secret") as refused:
        Settings(azureml_online_store_secret=value)
    assert "c4n4ry" not in str(refused.value)
