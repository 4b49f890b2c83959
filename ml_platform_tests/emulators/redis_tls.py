"""A Redis with TLS, a password and an identity that comes with tokens, as Azure's: redis-server itself."""

import secrets
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from redis import Redis
from redis.exceptions import ConnectionError as NotYet

from ml_platform_tests.emulators.identity import PRINCIPAL
from ml_platform_tests.emulators.process import Cloud
from ml_platform_tests.ports import free_port


@dataclass(frozen=True)
class TlsRedis:
    """A running server. `plain_uri` is without TLS, for the test itself."""

    uri: str
    plain_uri: str
    ca: Path
    password: str = field(repr=False)


@contextmanager
def redis_with_tls(cloud: Cloud) -> Iterator[TlsRedis]:
    """Start it on free ports of the loopback; it is ended on leaving."""
    folder = cloud.folder / "redis"
    folder.mkdir(parents=True)
    tls, plain = free_port(), free_port()
    redis = TlsRedis(f"rediss://127.0.0.1:{tls}/0", f"redis://127.0.0.1:{plain}/0", cloud.ca, secrets.token_urlsafe(18))
    users = f"requirepass {redis.password}\nuser {PRINCIPAL} on nopass ~* +@all\n"  # not on the command line
    (folder / "redis.conf").write_text(users)
    options = ["--bind", "127.0.0.1", "--port", str(plain), "--tls-port", str(tls), "--tls-auth-clients", "no"]
    options += ["--tls-cert-file", str(cloud.certificate), "--tls-key-file", str(cloud.certificate)]
    options += ["--tls-ca-cert-file", str(cloud.ca), "--save", "", "--dir", str(folder)]
    command = ["redis-server", str(folder / "redis.conf"), *options]
    with (folder / "log").open("w") as log, subprocess.Popen(command, stdout=log, stderr=log) as process:
        try:
            _wait(redis, folder / "log")
            yield redis
        finally:
            process.kill()


def _wait(redis: TlsRedis, log: Path) -> None:
    deadline = time.monotonic() + 30
    with Redis.from_url(redis.plain_uri, password=redis.password) as client:
        while True:
            try:
                client.ping()
                return
            except NotYet:
                assert time.monotonic() < deadline, f"redis-server did not start: {log.read_text()}"
                time.sleep(0.05)
