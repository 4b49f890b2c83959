"""Endpoints on this machine: one host process each, which follows the declaration in its directory."""

import errno
import re
import secrets
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import msgspec

from ml_platform.errors import DeploymentRefused, EndpointError
from ml_platform.gateways.endpoints.probe import probe
from ml_platform.gateways.endpoints.process import host_is_alive, log_tail, start_host, stop_host
from ml_platform.gateways.endpoints.protocol import EndpointState
from ml_platform.scoring.listener import ADDRESS
from ml_platform.scoring.measures import Counts, measured
from ml_platform.scoring.state import (
    DECLARED_FILE,
    KEYS_FILE,
    OBSERVED_FILE,
    REVIVAL_SECONDS,
    Declared,
    Deployment,
    EndpointDeclaration,
    Keys,
    Observed,
    exclusive,
    read_state,
    write_state,
)

T = TypeVar("T")

STOP_SECONDS = 15.0
LOOK_SECONDS = 0.02
CONNECT_SECONDS = 1.0


class LocalEndpoints:
    """Endpoints below `root`, one directory each, that log into the folder `log_uri` (path or file:// URI).

    `deadline` is how many seconds a deploy may take. The directory holds declared.json, observed.json, keys.json (mode
    0600; replace it to rotate the keys), host.lock with the pid, host.log, and what the workers observed and counted.
    """

    def __init__(self, root: Path, log_uri: str, deadline: float = 60.0) -> None:
        self._root = root.absolute()
        self._log_uri = log_uri
        self._deadline = deadline
        # Kept so that the hosts that this process started, and that have ended, are reaped.
        self._started: dict[str, subprocess.Popen[bytes]] = {}

    def deploy(self, declaration: EndpointDeclaration) -> EndpointState:
        """See Endpoints.deploy."""
        name = declaration.name
        if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_-]*", name):
            raise EndpointError(
                f"the name {name!r} must begin with a letter and have only letters, digits, '_' and '-'"
            )
        declaration = msgspec.structs.replace(declaration, deployments=tuple(map(_absolute, declaration.deployments)))
        with self._locked(name):
            directory = self._directory(name)
            directory.mkdir(parents=True, exist_ok=True)
            observed = self._converge(directory, declaration)
            for deployment in declaration.deployments:
                probe(declaration, deployment, _uri(observed.port), self.keys(name).primary)
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
        alive = host_is_alive(directory) and observed is not None
        refused = observed.refused if observed else {}
        return EndpointState(
            name=name,
            scoring_uri=_uri(observed.port) if observed else "",
            status="stopped" if not alive else "refused" if refused else "serving",
            declared=declared.endpoint,
            refused=refused,
        )

    def measures(self, name: str) -> dict[str, Counts]:
        """See Endpoints.measures."""
        state = self.state(name)
        if state is None:
            raise EndpointError(f"there is no endpoint {name!r} in {self._root}; deploy it first")
        found = measured(self._directory(name))
        return {
            each.name: found.live.get(each.counted_as, Counts()).plus(found.shadow.get(each.counted_as, Counts()))
            for each in state.declared.deployments
        }

    def delete(self, name: str) -> None:
        """See Endpoints.delete."""
        directory = self._directory(name)
        with self._locked(name):
            if directory.is_dir():
                stop_host(directory, STOP_SECONDS)
                # Out of the way first: workers that have outlived a killed host still tell what they counted.
                deleted = self._root / f".{name}.deleted"
                shutil.rmtree(deleted, ignore_errors=True)
                directory.rename(deleted)
                shutil.rmtree(deleted)

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
        alive = host_is_alive(directory) or (observed is not None and _revived(directory, observed))
        if alive and observed and endpoint.port not in (0, observed.port):
            stop_host(directory, STOP_SECONDS)
            alive = False
        declared = Declared(before.generation if before else 0, endpoint, self._log_uri)
        if (
            alive
            and before == declared
            and observed
            and (observed.generation, observed.refused) == (declared.generation, {})
        ):
            return observed
        declared = msgspec.structs.replace(declared, generation=declared.generation + 1)
        write_state(directory / DECLARED_FILE, declared)
        observed = self._follow(directory, declared, alive)
        if observed.refused and before:
            # A worker that is started again must find what can be served.
            write_state(directory / DECLARED_FILE, msgspec.structs.replace(before, generation=declared.generation + 1))
        return _accepted(observed, declared.endpoint, before.endpoint if before else None)

    def _follow(self, directory: Path, declared: Declared, alive: bool) -> Observed:
        """What the host observes of `declared`; it is started where it is not alive."""
        if alive:
            return self._wait(directory, declared, _Gone(directory))
        process = self._started[declared.endpoint.name] = start_host(directory)
        return self._wait(directory, declared, lambda: process.poll() is not None and not host_is_alive(directory))

    def _wait(self, directory: Path, declared: Declared, ended: Callable[[], bool]) -> Observed:
        name = declared.endpoint.name
        deadline = time.monotonic() + self._deadline
        while time.monotonic() < deadline:
            observed = _read(directory / OBSERVED_FILE, Observed)
            if observed is not None and observed.generation == declared.generation:
                return observed
            if ended():
                raise EndpointError(f"the host of {name!r} has ended; its log says:\n{log_tail(directory)}")
            time.sleep(LOOK_SECONDS)
        raise EndpointError(f"endpoint {name!r} was not ready in {self._deadline} s:\n{log_tail(directory)}")


def _revived(directory: Path, observed: Observed) -> bool:
    """Whether workers have outlived the host and start another, which has their socket: waited for."""
    with socket.socket() as asking:
        asking.settimeout(CONNECT_SECONDS)
        # Where too many wait already nobody is let in, and somebody listens none the less.
        if asking.connect_ex((ADDRESS, observed.port)) == errno.ECONNREFUSED:
            return False
    gone = _Gone(directory)
    while not (alive := host_is_alive(directory)) and not gone():
        time.sleep(LOOK_SECONDS)
    return alive


class _Gone:
    """Whether a host has been gone for so long that its workers have not started another."""

    def __init__(self, directory: Path) -> None:
        self._directory, self._alive_at = directory, time.monotonic()

    def __call__(self) -> bool:
        if host_is_alive(self._directory):
            self._alive_at = time.monotonic()
        return time.monotonic() - self._alive_at > REVIVAL_SECONDS


def _accepted(observed: Observed, endpoint: EndpointDeclaration, before: EndpointDeclaration | None) -> Observed:
    if not observed.refused:
        return observed
    left = before or endpoint
    served = [each for each in left.deployments if before or each.name not in observed.refused]
    now = ", ".join(f"version {each.model_version} of {each.model_name}" for each in served)
    reasons = "; ".join(observed.refused.values())
    still = f"{now} is still served" if served else "nothing is served"
    raise DeploymentRefused(f"endpoint {endpoint.name!r}: {reasons}; {still}")


def _absolute(deployment: Deployment) -> Deployment:
    return msgspec.structs.replace(deployment, serving_dir=str(Path(deployment.serving_dir).absolute()))


def _read(path: Path, kind: type[T]) -> T | None:
    try:
        return read_state(path, kind)
    except ValueError as error:
        raise EndpointError(f"{error}; delete the endpoint's directory and deploy again") from error


def _uri(port: int) -> str:
    return f"http://{ADDRESS}:{port}/score"
