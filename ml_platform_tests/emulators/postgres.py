"""A PostgreSQL server of its own for a test, with a password that is new each time."""

import os
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from ml_platform_tests.ports import free_port

BINARIES = "/usr/lib/postgresql/*/bin"


@dataclass(frozen=True)
class Postgres:
    """A running server with one database."""

    port: int
    password: str = field(repr=False)
    user: str = "dagster"
    database: str = "postgres"


@contextmanager
def postgres(certificate: Path | None = None) -> Iterator[Postgres]:
    """Start it on a free port of the loopback, with TLS if there is a certificate (key and chain in one file).

    It is ended, and its folder removed, on leaving.
    """
    folder = Path(tempfile.mkdtemp(prefix="postgres_"))
    server = Postgres(free_port(), secrets.token_urlsafe(16))
    try:
        tls = _own(folder, certificate)
        _make(folder, server)
        options = ["-D", f"{folder}/data", "-p", str(server.port), "-h", "127.0.0.1", "-k", str(folder), "-F", *tls]
        with (folder / "log").open("w") as log, _program("postgres", *options, output=log) as process:
            try:
                _wait(server.port, process, folder)
                yield server
            finally:
                process.send_signal(signal.SIGINT)  # SIGTERM would wait for those who are connected
                process.wait(30)
    finally:
        shutil.rmtree(folder)


def _make(folder: Path, server: Postgres) -> None:
    secret = folder / "password"
    secret.write_text(server.password)
    options = ["-D", f"{folder}/data", "-U", server.user, "-A", "scram-sha-256", "--pwfile", str(secret), "-N"]
    with (folder / "initdb.log").open("w") as log, _program("initdb", *options, output=log) as made:
        assert made.wait(60) == 0, (folder / "initdb.log").read_text()


def _program(name: str, *options: str, output: object) -> "subprocess.Popen[bytes]":
    """PostgreSQL refuses to run as root: root runs it as the user that its package made."""
    path = shutil.which(name) or str(next(Path("/").glob(f"{BINARIES}/{name}".lstrip("/"))))
    as_whom = {"user": "postgres", "group": "postgres", "extra_groups": []} if os.getuid() == 0 else {}
    return subprocess.Popen([path, *options], stdout=output, stderr=output, cwd="/", **as_whom)  # type: ignore[arg-type]


def _own(folder: Path, certificate: Path | None) -> list[str]:
    """Give the server its folder, and in it a certificate that only it can read; the options for that."""
    own = [Path(shutil.copy(certificate, folder / "server.pem"))] if certificate else []
    for path in (folder, *own):
        path.chmod(0o700 if path.is_dir() else 0o600)
        if os.getuid() == 0:
            shutil.chown(path, "postgres", "postgres")
    return [each for path in own for each in ("-l", "-c", f"ssl_cert_file={path}", "-c", f"ssl_key_file={path}")]


def _wait(port: int, process: "subprocess.Popen[bytes]", folder: Path) -> None:
    deadline = time.monotonic() + 30
    while "ready to accept connections" not in (folder / "log").read_text():
        assert process.poll() is None, (folder / "log").read_text()
        assert time.monotonic() < deadline, f"PostgreSQL at {port} did not start: {(folder / 'log').read_text()}"
        time.sleep(0.05)
