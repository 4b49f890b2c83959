"""Endpoints on this machine: one host process each, which follows the declaration in its directory."""

import re
import secrets
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import msgspec

from ml_platform.errors import EndpointError
from ml_platform.gateways.endpoints.probe import probe
from ml_platform.gateways.endpoints.process import host_is_alive, log_tail, start_host, stop_host
from ml_platform.gateways.endpoints.protocol import EndpointState
from ml_platform.scoring.state import (
    DECLARED_FILE,
    KEYS_FILE,
    OBSERVED_FILE,
    Declared,
    EndpointDeclaration,
    Keys,
    Observed,
    exclusive,
    read_state,
    write_state,
)

T = TypeVar("T")

VERIFIED_FILE = "verified.json"
STOP_SECONDS = 15.0


class _Verified(msgspec.Struct, frozen=True):
    """verified.json: the generation whose answers the probe found right."""

    generation: int


class LocalEndpoints:
    """Endpoints below `root`, one directory each, that log into the folder `log_uri` (path or file:// URI).

    `deadline` is how many seconds a deploy may take. The directory holds declared.json, observed.json, verified.json,
    keys.json (mode 0600; replace it to rotate the keys), host.lock with the pid, and host.log.
    """

    def __init__(self, root: Path, log_uri: str, deadline: float = 60.0) -> None:
        self._root = root.absolute()
        self._log_uri = log_uri
        self._deadline = deadline
        # Kept so that the hosts that this process started, and that have ended, are reaped.
        self._started: dict[str, subprocess.Popen[bytes]] = {}

    def deploy(self, declaration: EndpointDeclaration) -> EndpointState:
        """See Endpoints.deploy."""
        name, deployment = declaration.name, declaration.deployment
        if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_-]*", name):
            raise EndpointError(
                f"the name {name!r} must begin with a letter and have only letters, digits, '_' and '-'"
            )
        serving_dir = str(Path(deployment.serving_dir).absolute())
        declaration = msgspec.structs.replace(
            declaration, deployment=msgspec.structs.replace(deployment, serving_dir=serving_dir)
        )
        with self._locked(name):
            directory = self._directory(name)
            directory.mkdir(parents=True, exist_ok=True)
            observed = self._converge(directory, declaration)
            uri = _uri(observed.port)
            probe(declaration, uri, self.keys(name).primary)
            write_state(directory / VERIFIED_FILE, _Verified(observed.generation))
        state = self.state(name)
        if state is None:
            raise EndpointError(f"endpoint {name!r} was deleted while it was deployed")
        return state

    def state(self, name: str) -> EndpointState | None:
        """See Endpoints.state."""
        directory = self._directory(name)
        declared = _read(directory / DECLARED_FILE, Declared)
        if declared is None:
            return None
        observed = _read(directory / OBSERVED_FILE, Observed)
        verified = _read(directory / VERIFIED_FILE, _Verified)
        alive = host_is_alive(directory) and observed is not None
        serving = observed.serving if alive and observed else None
        return EndpointState(
            name=name,
            scoring_uri=_uri(observed.port) if observed else "",
            status=observed.status if alive and observed else "stopped",
            declared=declared.endpoint.deployment,
            serving=serving.endpoint.deployment if serving else None,
            verified=alive and observed is not None and verified == _Verified(observed.generation),
            reason=observed.reason if observed else "it was never served",
        )

    def delete(self, name: str) -> None:
        """See Endpoints.delete."""
        directory = self._directory(name)
        with self._locked(name):
            if directory.is_dir():
                stop_host(directory, STOP_SECONDS)
                shutil.rmtree(directory)

    def keys(self, name: str) -> Keys:
        """See Endpoints.keys."""
        keys = _read(self._directory(name) / KEYS_FILE, Keys)
        if keys is None:
            raise EndpointError(f"there is no endpoint {name!r} in {self._root}; deploy it first")
        return keys

    def scoring_uri(self, name: str) -> str:
        """See Endpoints.scoring_uri."""
        observed = _read(self._directory(name) / OBSERVED_FILE, Observed)
        if observed is None:
            raise EndpointError(f"there is no endpoint {name!r} in {self._root}; deploy it first")
        return _uri(observed.port)

    def _directory(self, name: str) -> Path:
        return self._root / name

    @contextmanager
    def _locked(self, name: str) -> Iterator[None]:
        self._root.mkdir(parents=True, exist_ok=True)
        try:
            with exclusive(self._root / f".{name}.lock", self._deadline):
                yield
        except TimeoutError as error:
            raise EndpointError(f"another deploy of {name!r} does not end: {error}") from error

    def _converge(self, directory: Path, endpoint: EndpointDeclaration) -> Observed:
        if not (directory / KEYS_FILE).exists():
            write_state(directory / KEYS_FILE, Keys(secrets.token_urlsafe(32), secrets.token_urlsafe(32)))
        before = _read(directory / DECLARED_FILE, Declared)
        observed = _read(directory / OBSERVED_FILE, Observed)
        alive = host_is_alive(directory)
        if alive and observed and endpoint.port not in (0, observed.port):
            stop_host(directory, STOP_SECONDS)
            alive = False
        declared = Declared(before.generation if before else 0, endpoint, self._log_uri)
        if alive and observed and before == declared == observed.serving:
            return observed
        declared = msgspec.structs.replace(declared, generation=declared.generation + 1)
        write_state(directory / DECLARED_FILE, declared)
        if alive:
            return self._wait(directory, declared, lambda: not host_is_alive(directory))
        process = self._started[endpoint.name] = start_host(directory)
        return self._wait(directory, declared, lambda: process.poll() is not None and not host_is_alive(directory))

    def _wait(self, directory: Path, declared: Declared, ended: Callable[[], bool]) -> Observed:
        name = declared.endpoint.name
        deadline = time.monotonic() + self._deadline
        while time.monotonic() < deadline:
            observed = _read(directory / OBSERVED_FILE, Observed)
            if observed is not None and observed.generation == declared.generation:
                return _accepted(observed, name)
            if ended():
                raise EndpointError(f"the host of {name!r} has ended; its log says:\n{log_tail(directory)}")
            time.sleep(0.02)
        raise EndpointError(f"endpoint {name!r} was not ready in {self._deadline} s:\n{log_tail(directory)}")


def _accepted(observed: Observed, name: str) -> Observed:
    if observed.status == "serving":
        return observed
    still = observed.serving.endpoint.deployment if observed.serving else None
    now = f"version {still.model_version} of {still.model_name} is still served" if still else "nothing is served"
    raise EndpointError(f"endpoint {name!r}: {observed.reason}; {now}")


def _read(path: Path, kind: type[T]) -> T | None:
    try:
        return read_state(path, kind)
    except ValueError as error:
        raise EndpointError(f"{error}; delete the endpoint's directory and deploy again") from error


def _uri(port: int) -> str:
    return f"http://127.0.0.1:{port}/score"
