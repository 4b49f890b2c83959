"""Small lakes for the tests of what writes to them: a directory, or blobs behind a wire that can be cut."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from ml_platform_tests.emulators.azurite import azurite
from ml_platform_tests.emulators.process import Cloud


class TestLake:
    """A lake's URI, the environment in which it is reached, and its files."""

    __test__ = False

    def __init__(self, folder: Path) -> None:
        self.folder, self.uri, self.environment = folder, folder.as_uri(), dict[str, str]()

    def read(self, name: str) -> bytes:
        return (self.folder / name).read_bytes()

    def write(self, name: str, content: bytes) -> None:
        (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
        (self.folder / name).write_bytes(content)

    def names(self, prefix: str) -> list[str]:
        found = sorted(path for path in (self.folder / prefix).rglob("[!.]*") if path.is_file())
        return [path.relative_to(self.folder).as_posix() for path in found]

    @contextmanager
    def down(self) -> Iterator[None]:
        """Nobody but the test reaches the lake meanwhile."""
        raise NotImplementedError
        yield


@contextmanager
def local_lake(folder: Path) -> Iterator[TestLake]:
    yield TestLake(folder / "lake")


class BlobLake(TestLake):
    """A container of Azurite; the environment leads to it by the wire."""

    def __init__(self, uri: str, container: Any, environment: dict[str, str], wire: "Wire") -> None:
        self.uri, self.environment, self.container, self._wire = uri, environment, container, wire

    def read(self, name: str) -> bytes:
        return self.container.download_blob(name).readall()

    def write(self, name: str, content: bytes) -> None:
        self.container.upload_blob(name, content, overwrite=True)

    def names(self, prefix: str) -> list[str]:
        return sorted(self.container.list_blob_names(name_starts_with=prefix))

    @contextmanager
    def down(self) -> Iterator[None]:
        self._wire.cut()
        try:
            yield
        finally:
            self._wire.mend()


@contextmanager
def blob_lake(folder: Path) -> Iterator[BlobLake]:
    from azure.storage.blob import ContainerClient

    with azurite(Cloud(folder / "cloud")) as account:
        uri, wire = account.lake("lake"), Wire(urlsplit(account.endpoint).port or 0)
        endpoint = f"https://127.0.0.1:{wire.port}/{account.account}"
        environment = {**account.key_environment(), "AZURE_STORAGE_ENDPOINT": endpoint}
        with ContainerClient(
            account.endpoint, "lake", credential=account.key, connection_verify=str(account.cloud.ca)
        ) as container:
            try:
                yield BlobLake(uri, container, environment, wire)
            finally:
                wire.close()


@dataclass
class Wire:
    """Forwards connections to a port of this machine; while it is cut they end, and new ones are not answered."""

    to: int
    _connections: list[socket.socket] = field(default_factory=list)
    _whole: bool = True

    def __post_init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        self._whole = False
        for each in self._connections:
            _end(each)

    def mend(self) -> None:
        self._whole = True

    def close(self) -> None:
        self.cut()
        _end(self._listener)

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                if not self._whole:
                    client.close()
                    continue
                server = socket.create_connection(("127.0.0.1", self.to))
                self._connections += [client, server]
                for pair in ((client, server), (server, client)):
                    threading.Thread(target=_forward, args=pair, daemon=True).start()


def _forward(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
    _end(source)
    _end(target)


def _end(connection: socket.socket) -> None:
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
    connection.close()
