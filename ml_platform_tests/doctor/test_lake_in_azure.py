"""A lake in a storage account: no such container or account, no permission, no credential, a wrong clock."""

import base64
from datetime import UTC, datetime, timedelta

import pytest

from ml_platform.doctor.check import CheckFailed
from ml_platform.doctor.lake_azure import look_at_container
from ml_platform_tests.doctor.looked import assert_failed, changed, environment, look
from ml_platform_tests.doctor.loopback import Loopback, reached
from ml_platform_tests.emulators.azurite import Azurite

pytestmark = pytest.mark.cloud

WRONG_KEY = base64.b64encode(b"c4n4ry" * 10).decode()
ROLE = "Storage Blob Data Contributor"


def _sas(storage: Azurite, permission: str, ends: timedelta = timedelta(hours=1)) -> str:
    from azure.storage.blob import ResourceTypes, generate_account_sas

    until = datetime.now(UTC) + ends
    kinds = ResourceTypes(container=True, object=True)
    return generate_account_sas(storage.account, storage.key, kinds, permission, until)


@pytest.mark.parametrize("credential", ["identity", "key", "sas"])
def test_each_credential_lists_writes_reads_and_removes(
    cloud: Loopback, credential: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    variables = {
        "identity": {},
        "key": {"AZURE_STORAGE_ACCOUNT_KEY": cloud.storage.key},
        "sas": {"AZURE_STORAGE_SAS_TOKEN": _sas(cloud.storage, "rwdlac")},
    }[credential]
    with reached(cloud, variables):
        result = look(cloud.settings, "lake")
        assert result.status == "ok", result
        assert result.seen["as"] == (next(iter(variables), "identity"))
        name = str(result.seen["written_and_removed"])
        assert name.startswith("doctor/")
        assert not any(name in url and method == "DELETE" for method, url in cloud.storage.calls()[:-1])
        assert cloud.storage.calls()[-1][0] == "DELETE"
        if credential != "sas":
            assert look(cloud.settings, "lake tables").status == "ok"


def test_a_lake_below_a_folder_of_its_container_is_listed_and_written_there(cloud: Loopback) -> None:
    result = look(changed(cloud.settings, lake_uri=f"{cloud.settings.lake_uri}/team/lake"), "lake")
    assert result.status == "ok", result
    assert str(result.seen["written_and_removed"]).startswith("team/lake/doctor/")


def test_a_container_that_is_not_there_is_to_be_created(cloud: Loopback) -> None:
    uri = "abfss://nolake@devstoreaccount1.dfs.core.windows.net"
    result = look(changed(cloud.settings, lake_uri=uri), "lake")
    assert_failed(result, "Create container nolake of storage account devstoreaccount1", "ML_PLATFORM_LAKE_URI")
    assert "ContainerNotFound" in str(result.reason)


def test_an_account_that_is_not_there_is_told_from_its_name(cloud: Loopback, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AZURE_STORAGE_ENDPOINT")
    uri = "abfss://lake@noaccount.dfs.loopback.invalid"
    result = look(changed(cloud.settings, lake_uri=uri), "lake")
    assert_failed(result, "Correct the account in ML_PLATFORM_LAKE_URI", "noaccount.blob.loopback.invalid")


def test_a_network_that_does_not_let_in_is_to_be_opened(cloud: Loopback) -> None:
    with reached(cloud, {"AZURE_STORAGE_ENDPOINT": "https://127.0.0.1:1/devstoreaccount1"}):
        assert_failed(look(cloud.settings, "lake"), "Let this machine reach 127.0.0.1:1", "private endpoint", "lake")


def test_a_certificate_that_is_not_trusted_is_told(cloud: Loopback) -> None:
    import certifi

    with environment({"REQUESTS_CA_BUNDLE": certifi.where(), "SSL_CERT_FILE": certifi.where()}):
        assert_failed(look(cloud.settings, "lake"), "REQUESTS_CA_BUNDLE", "127.0.0.1")


@pytest.mark.parametrize("key", [WRONG_KEY, "c4n4ry is no base64"])
def test_a_wrong_key_is_to_be_renewed_and_is_not_shown(cloud: Loopback, key: str) -> None:
    with reached(cloud, {"AZURE_STORAGE_ACCOUNT_KEY": key}):
        result = look(cloud.settings, "lake")
    assert_failed(result, "Put a current key", "AZURE_STORAGE_ACCOUNT_KEY", "devstoreaccount1", ROLE)
    assert key not in repr(result)


def test_a_sas_that_may_not_write_is_told_what_it_lacks(cloud: Loopback) -> None:
    sas = _sas(cloud.storage, "rl")
    with reached(cloud, {"AZURE_STORAGE_SAS_TOKEN": sas}):
        result = look(cloud.settings, "lake")
    assert_failed(result, "Let the SAS in AZURE_STORAGE_SAS_TOKEN list, read, write, create, add and delete", "lake")
    assert "AuthorizationPermissionMismatch" in str(result.reason)
    assert "sig=" not in repr(result)


def test_a_sas_that_has_ended_is_to_be_renewed(cloud: Loopback) -> None:
    with reached(cloud, {"AZURE_STORAGE_SAS_TOKEN": _sas(cloud.storage, "rwdlac", timedelta(hours=-1))}):
        assert_failed(look(cloud.settings, "lake"), "Put a SAS that has not ended", "AZURE_STORAGE_SAS_TOKEN")


def test_an_identity_without_a_role_is_to_be_given_it(cloud: Loopback, monkeypatch: pytest.MonkeyPatch) -> None:
    """Azurite gives every identity every right: the refusal is the storage emulator's of the workspace."""
    with reached(cloud, {"AZURE_STORAGE_ENDPOINT": f"{cloud.arm.address}/devstoreaccount1"}):
        cloud.arm.fault("forbidden", path="/devstoreaccount1/", count=9)
        result = look(cloud.settings, "lake")
    assert_failed(result, f"the role {ROLE} on container lake of storage account devstoreaccount1", "oid 55555555")


def test_without_a_credential_the_ways_to_one_are_told(cloud: Loopback) -> None:
    # The metadata service of a virtual machine would be waited for.
    nobody = {"AZURE_POD_IDENTITY_AUTHORITY_HOST": "http://127.0.0.1:1", "PATH": ""}
    with reached(cloud, nobody, without=("IDENTITY_ENDPOINT", "IDENTITY_HEADER")):
        result = look(cloud.settings, "lake")
    assert_failed(result, "Give this process an identity", "AZURE_CLIENT_ID", "az login")


def test_an_identity_endpoint_that_refuses_is_told(cloud: Loopback) -> None:
    with reached(cloud, {"IDENTITY_HEADER": "c4n4ry", "PATH": ""}):
        result = look(cloud.settings, "lake")
    assert_failed(result, "identity")
    assert "c4n4ry" not in repr(result)


@pytest.mark.parametrize(("minutes", "said"), [(20, "ahead of"), (-20, "behind")])
def test_a_clock_that_is_wrong_is_to_be_set(cloud: Loopback, minutes: int, said: str) -> None:
    with reached(cloud), pytest.raises(CheckFailed, match=f"20 minutes {said} Azure's") as failed:
        look_at_container(cloud.settings.lake_uri, now=datetime.now(UTC) + timedelta(minutes=minutes))
    assert "NTP" in failed.value.remedy


def test_throttling_that_stays_is_told(cloud: Loopback) -> None:
    with reached(cloud, {"AZURE_STORAGE_ENDPOINT": f"{cloud.arm.address}/devstoreaccount1"}):
        cloud.arm.fault("unavailable", path="/devstoreaccount1/", count=99, seconds=1)
        assert_failed(look(cloud.settings, "lake"), "Wait 1 seconds", "container lake")


def test_delta_rs_that_has_no_credential_is_told_what_it_reads(cloud: Loopback) -> None:
    with reached(cloud, {"AZURE_STORAGE_ACCOUNT_KEY": WRONG_KEY}):
        result = look(cloud.settings, "lake tables")
    assert_failed(result, "Set what obstore and delta-rs read", "AZURE_STORAGE_ACCOUNT_KEY")
    assert WRONG_KEY not in repr(result)
