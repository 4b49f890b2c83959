"""Redis as the online store: reach, TLS, password, rights, and what it does when it is full."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from redis import Redis

from dbx_jobs.online_contract import PASSWORD_VARIABLE
from ml_platform.doctor.check import Result
from ml_platform.settings import Settings
from ml_platform_tests.doctor.looked import assert_failed, environment, look
from ml_platform_tests.emulators.entering import foreign
from ml_platform_tests.emulators.process import Cloud
from ml_platform_tests.emulators.redis_tls import TlsRedis, redis_with_tls

pytestmark = pytest.mark.cloud


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TlsRedis]:
    with redis_with_tls(Cloud(tmp_path_factory.mktemp("redis"))) as redis:
        yield redis


@pytest.fixture
def redis(started: TlsRedis) -> Iterator[TlsRedis]:
    with environment({"SSL_CERT_FILE": str(started.ca)}, foreign()):
        yield started


def online(redis: TlsRedis, uri: str = "", password: str | None = None, **variables: str) -> Result:
    """What the doctor says of the store at `uri`, with this password instead of the right one ("": none)."""
    secret = redis.password if password is None else password
    told = {**variables, **({PASSWORD_VARIABLE: secret} if secret else {})}
    with environment(told):
        return look(Settings(home=Path("/nowhere"), online_store_uri=uri or redis.uri), "online store")


def administrator(redis: TlsRedis) -> Redis:
    return Redis.from_url(redis.plain_uri, password=redis.password)


def test_a_redis_with_tls_and_password_is_well_and_keeps_nothing(redis: TlsRedis) -> None:
    result = online(redis)
    assert result.status == "ok", result
    assert (result.seen["tls"], result.seen["login"]) == (True, "password")
    assert str(result.seen["version"])[0].isdigit()
    with administrator(redis) as admin:
        assert admin.dbsize() == 0


def test_a_wrong_password_is_told_and_not_shown(redis: TlsRedis) -> None:
    result = online(redis, password="c4n4ry-wrong")
    assert_failed(result, "Put the key of the Redis at", "ML_PLATFORM_ONLINE_STORE_PASSWORD")
    assert "c4n4ry" not in repr(result)


def test_no_password_where_one_is_asked_for_is_told(redis: TlsRedis) -> None:
    uri = redis.plain_uri
    assert_failed(online(redis, uri, ""), "Put the key of the Redis at", "ML_PLATFORM_ONLINE_STORE_PASSWORD")


def test_neither_a_password_nor_an_identity_is_told(redis: TlsRedis) -> None:
    nobody = {"AZURE_POD_IDENTITY_AUTHORITY_HOST": "http://127.0.0.1:1", "PATH": ""}
    result = online(redis, password="", **nobody)
    assert_failed(result, "Give this process an identity with an access policy", "ML_PLATFORM_ONLINE_STORE_PASSWORD")


def test_tls_asked_of_a_port_without_it_is_told(redis: TlsRedis) -> None:
    uri = redis.plain_uri.replace("redis://", "rediss://")
    assert_failed(online(redis, uri), "Switch TLS on for 127.0.0.1", "port")


def test_no_tls_asked_of_a_port_with_it_is_told(redis: TlsRedis) -> None:
    uri = redis.uri.replace("rediss://", "redis://")
    assert_failed(online(redis, uri), "Write rediss:// instead of redis://")


def test_a_password_never_goes_over_a_network_without_tls(redis: TlsRedis) -> None:
    result = online(redis, "redis://redis.loopback.invalid:6379/0")
    assert_failed(result, "Write rediss:// instead of redis://", "redis.loopback.invalid")


def test_a_certificate_that_is_not_trusted_is_told(redis: TlsRedis) -> None:
    import certifi

    assert_failed(online(redis, SSL_CERT_FILE=certifi.where()), "SSL_CERT_FILE")


def test_a_redis_that_is_not_there_is_told(redis: TlsRedis) -> None:
    assert_failed(online(redis, "rediss://127.0.0.1:1/0"), "Start Redis at 127.0.0.1:1")


def test_a_user_that_may_not_write_is_told_what_it_needs(redis: TlsRedis) -> None:
    with administrator(redis) as admin:
        rights = ["+ping", "+get", "+del", "+client", "+select"]
        admin.execute_command("ACL", "SETUSER", "reader", "on", ">reads", "~*", *rights)
    uri = redis.uri.replace("rediss://", "rediss://reader@")
    assert_failed(online(redis, uri, "reads"), "PING, SET, GET", "HMGET")


def test_a_redis_that_forgets_when_it_is_full_fails(redis: TlsRedis) -> None:
    with administrator(redis) as admin:
        admin.config_set("maxmemory-policy", "allkeys-lru")
        result = online(redis)
        admin.config_set("maxmemory-policy", "noeviction")
    assert_failed(result, "noeviction")
