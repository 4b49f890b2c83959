"""Starts and stops emulators as processes, and says by which environment the unchanged SDKs reach them."""

import os
import secrets
import ssl
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import httpx
import trustme

from ml_platform.settings import PROJECT_ROOT


@dataclass(frozen=True)
class Cloud:
    """What the emulators of one loopback cloud share: a folder, an authority for certificates, and secrets."""

    folder: Path
    secret: str = field(default_factory=lambda: secrets.token_urlsafe(24), repr=False)
    key: str = field(default_factory=lambda: secrets.token_urlsafe(24), repr=False)
    token_seconds: int = 86400

    @property
    def ca(self) -> Path:
        return self._certificates[0]

    @property
    def certificate(self) -> Path:
        """Key and chain in one file, for 127.0.0.1, localhost and the public names of storage and Entra."""
        return self._certificates[1]

    @cached_property
    def _certificates(self) -> tuple[Path, Path]:
        self.folder.mkdir(parents=True, exist_ok=True)
        ca, server = self.folder / "ca.pem", self.folder / "server.pem"
        authority = trustme.CA()
        authority.cert_pem.write_to_path(ca)
        issued = authority.issue_cert("127.0.0.1", "localhost", "*.blob.core.windows.net", "login.microsoftonline.com")
        issued.private_key_and_cert_chain_pem.write_to_path(server)
        return ca, server

    @cached_property
    def trust(self) -> ssl.SSLContext:
        """For clients of our own."""
        return ssl.create_default_context(cafile=str(self.ca))

    def environment(self, name: str) -> dict[str, str]:
        """What an emulator of this cloud is told; `listening.Listening` reads it."""
        return {
            "EMULATOR_FOLDER": str(self.folder / name),
            "EMULATOR_CERTIFICATE": str(self.certificate),
            "EMULATOR_SECRET": self.secret,
            "EMULATOR_KEY": self.key,
            "EMULATOR_TOKEN_SECONDS": str(self.token_seconds),
        }


@dataclass(frozen=True)
class Emulator:
    """A running emulator."""

    cloud: Cloud
    name: str
    addresses: tuple[str, ...]
    process: subprocess.Popen[str] = field(repr=False)

    @property
    def address(self) -> str:
        return self.addresses[0]

    def record(self) -> dict[str, Any]:
        """`calls`, `violations` and `unknown_routes` since the start or the last clearing."""
        return self._control("GET", "record")

    def clear(self) -> None:
        self._control("DELETE", "record")

    def pardon(self, pattern: str) -> list[str]:
        """Take away the violations that a test provoked; fails if there was none."""
        pardoned = self._control("POST", "record/pardon", {"pattern": pattern})
        assert pardoned, f"{self.name} recorded no violation like {pattern}: {self.record()['violations']}"
        return pardoned

    def fault(self, kind: str, method: str = ".*", path: str = ".*", count: int = 1, seconds: float = 0.0) -> None:
        """The next `count` calls that match fail (`faults.Fault`)."""
        fault = {"kind": kind, "method": method, "path": path, "count": count, "seconds": seconds}
        self._control("POST", "faults", [fault])

    def faults_left(self) -> list[dict[str, Any]]:
        return [fault for fault in self._control("GET", "faults") if fault["count"]]

    def clear_faults(self) -> None:
        self._control("POST", "faults", [])

    def autoscale_settings(self) -> list[dict[str, Any]]:
        """All that the resource group has."""
        return self._control("GET", "autoscale")

    def load(self, endpoint: str, deployment: str, cpu: float) -> int:
        """Let a deployment's CPUs be so busy (percent) until it is scaled; how many instances it has then."""
        told = {"endpoint": endpoint, "deployment": deployment, "cpu": cpu}
        return self._control("POST", "load", told)["capacity"]

    def assert_clean(self) -> None:
        """No violation of a contract and no unknown route since the last clearing."""
        record = self.record()
        found = record["violations"] + [f"unknown route: {each}" for each in record["unknown_routes"]]
        assert not found, f"{self.name}:\n  " + "\n  ".join(found)

    def _control(self, method: str, path: str, body: Any = None) -> Any:
        url = f"{self.address}/_emulator/{path}"
        return (
            httpx.request(method, url, json=body, verify=self.cloud.trust, timeout=30, trust_env=False)
            .raise_for_status()
            .json()
        )


@contextmanager
def started(
    cloud: Cloud, name: str, *arguments: str, environment: Mapping[str, str] | None = None
) -> Iterator[Emulator]:
    """Start `python -m ml_platform_tests.emulators.NAME ARGUMENTS`; on leaving, stop it and fail on what it recorded.

    Its output stands in `<cloud.folder>/<name>/log.txt`.
    """
    folder = cloud.folder / name
    folder.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", f"ml_platform_tests.emulators.{name}", *arguments]
    variables = {**os.environ, **(environment or {}), **cloud.environment(name)}
    with (folder / "log.txt").open("a") as log:
        pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": log, "text": True}
        process = subprocess.Popen(command, env=variables, cwd=PROJECT_ROOT, **pipes)
    try:
        emulator = Emulator(cloud, name, _addresses(process, folder), process)
        yield emulator
        emulator.assert_clean()
    finally:
        _stop(process)


def _addresses(process: subprocess.Popen[str], folder: Path) -> tuple[str, ...]:
    assert process.stdout
    line = process.stdout.readline()
    assert line, f"the emulator did not start:\n{(folder / 'log.txt').read_text()}"
    return tuple(line.split())


def _stop(process: subprocess.Popen[str]) -> None:
    """Its standard input ends, so it ends; one that hangs is killed."""
    assert process.stdin
    process.stdin.close()
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def sdk_environment(arm: Emulator) -> dict[str, str]:
    """The variables by which azure-identity, azure-ai-ml and azureml-mlflow reach the emulator, and nothing else.

    The managed identity's endpoint is plain HTTP, as in App Service; all else is TLS under the cloud's own authority.
    """
    secure, plain = arm.addresses
    return {
        "ARM_CLOUD_METADATA_URL": f"{secure}/metadata/endpoints?api-version=2022-09-01",
        "REQUESTS_CA_BUNDLE": str(arm.cloud.ca),
        "SSL_CERT_FILE": str(arm.cloud.ca),
        "IDENTITY_ENDPOINT": f"{plain}/msi/token",
        "IDENTITY_HEADER": arm.cloud.secret,
        "AZUREML_CURRENT_CLOUD": CLOUD_NAME,
    }


CLOUD_NAME = "LoopbackCloud"
