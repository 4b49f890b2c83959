"""The online store in Redis as Azure offers it: TLS alone, a cluster, a password or an identity's tokens."""

import asyncio
import time
from collections.abc import Iterator

import pytest
from redis import Redis
from redis.exceptions import RedisError

from dbx_jobs.errors import DataError
from dbx_jobs.online_contract import PASSWORD_VARIABLE
from dbx_jobs.online_store import replace_rows
from ml_platform.errors import SettingsError
from ml_platform.scoring.online_store import StoreUnreachable, open_store
from ml_platform.settings import Settings
from ml_platform_tests.emulators.identity import PRINCIPAL
from ml_platform_tests.emulators.process import Cloud, Emulator, started
from ml_platform_tests.emulators.storage import AUTHORITY
from ml_platform_tests.online_stores import PASSWORD, managed_redis

SECONDS = 3
"""How long a token of these tests holds."""
ROWS = [(f"0:{n}", str(n)) for n in range(12_000)]


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Cloud:
    return Cloud(tmp_path_factory.mktemp("redis"), token_seconds=SECONDS)


@pytest.fixture(scope="module")
def identity(cloud: Cloud) -> Iterator[Emulator]:
    with started(cloud, "storage", "https://127.0.0.1:1", environment={AUTHORITY: str(cloud.ca)}) as front:
        yield front


@pytest.fixture(scope="module")
def admin(cloud: Cloud) -> Iterator[Redis]:
    with managed_redis(cloud) as client:
        yield client


@pytest.fixture
def uri(admin: Redis, cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("SSL_CERT_FILE", str(cloud.ca))
    return f"rediss://127.0.0.1:{admin.get_connection_kwargs()['port']}/0"


@pytest.fixture(params=["password", "identity"])
def store(request: pytest.FixtureRequest, uri: str, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "password":
        monkeypatch.setenv(PASSWORD_VARIABLE, PASSWORD)
    else:
        request.getfixturevalue("as_identity")
    return uri


@pytest.fixture
def as_identity(identity: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(PASSWORD_VARIABLE, raising=False)
    monkeypatch.setenv("IDENTITY_ENDPOINT", f"{identity.addresses[1]}/msi/token")
    monkeypatch.setenv("IDENTITY_HEADER", identity.cloud.secret)
    identity.clear()


def read(uri: str, *names: str) -> list[str | None]:
    return asyncio.run(open_store(uri, "delays").get(names))


def test_rows_are_replaced_and_read_over_tls_in_a_cluster(store: str) -> None:
    for rows in (ROWS, ROWS[:5]):
        replace_rows(store, "delays", rows)
        assert read(store, "0:0", "0:4", "0:11999") == ["0", "4", dict(rows).get("0:11999")]


def test_an_identity_logs_in_as_itself_and_again_before_its_token_ends(
    uri: str, as_identity: None, identity: Emulator, admin: Redis
) -> None:
    replace_rows(uri, "delays", ROWS[:5])

    async def reads() -> None:
        store, deadline = open_store(uri, "delays"), time.monotonic() + 10 * SECONDS
        assert await store.get(["0:1"]) == ["1"]
        identity.clear()
        while len(tokens(identity)) < 3:
            assert await store.get(["0:1"]) == ["1"]
            assert time.monotonic() < deadline, "no token was asked for again"
            await asyncio.sleep(0.05)
        assert PRINCIPAL in {client["user"] for client in admin.client_list()}

    asyncio.run(reads())


def tokens(identity: Emulator) -> list[str]:
    return [call["path"] for call in identity.record()["calls"] if call["status"] == 200]


def test_a_server_that_nobody_vouches_for_is_not_talked_to(
    uri: str, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(PASSWORD_VARIABLE, PASSWORD)
    monkeypatch.setenv("SSL_CERT_FILE", str(Cloud(tmp_path_factory.mktemp("other")).ca))
    with pytest.raises(StoreUnreachable, match="certificate verify failed"):
        read(uri, "0:1")
    with pytest.raises(RedisError, match="certificate verify failed"):
        replace_rows(uri, "delays", ROWS[:1])


def test_a_wrong_password_is_told_without_the_password(uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(PASSWORD_VARIABLE, "wrong-canary")
    for work in (lambda: read(uri, "0:1"), lambda: replace_rows(uri, "delays", ROWS[:1])):
        with pytest.raises((StoreUnreachable, DataError)) as told:
            work()
        assert "wrong-canary" not in f"{told.value!r} {told.value.__cause__!r}"


def test_a_store_that_cannot_be_there_is_refused_by_its_setting_the_job_and_the_server(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    uri = "abfss://lake@account.dfs.core.windows.net/online"
    with pytest.raises(SettingsError, match="where no online store can be"):
        Settings(online_store_uri=uri)
    with pytest.raises(DataError, match="give file://"):
        replace_rows(uri, "delays", ROWS[:1])
    with pytest.raises(ValueError, match="neither file://"):
        open_store(uri, "delays")
    monkeypatch.setenv("DATABRICKS_RUNTIME_VERSION", "17.3")
    with pytest.raises(DataError, match="nobody else reads a cluster's disk"):
        replace_rows("file:///online", "delays", ROWS[:1])
