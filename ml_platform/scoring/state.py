"""The files of an endpoint's directory: what the gateway declares, what the host observes, and who may do so."""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, TypeVar

import msgspec

from dbx_jobs.contract import EventTime

DECLARED_FILE = "declared.json"
OBSERVED_FILE = "observed.json"
KEYS_FILE = "keys.json"
LOCK_FILE = "host.lock"
"""Held by the living host and holding its pid: the kernel frees it with the process, however that dies."""
WORKERS_FOLDER = "workers"
"""What each worker observed, by its pid."""
MEASURES_FOLDER = "measures"
"""What each worker has counted since the host began, by its pid."""
REVIVAL_SECONDS = 10.0
"""In which the workers of a host that was killed have started another."""

T = TypeVar("T")

Role = Literal["serving", "shadow", "unknown"]
"""Whether callers get the answers, which are logged then, or nobody does: where another program routes the requests."""


class Deployment(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One model version behind an endpoint; `serving_dir` holds model.onnx and signature.json."""

    name: str
    model_name: str
    model_version: str
    serving_dir: str

    @property
    def counted_as(self) -> str:
        """The name under which workers count what it does: of each model version anew."""
        return f"{self.name}/{self.model_version}"


class OnlineDeclaration(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a caller may leave to the server: the features that it finds in the online store of `product`.

    `request` are the columns that a caller brings then, with their types as in a declared source; `event_time` says
    how the wall-clock columns follow from one of them. Values older than `ttl_seconds` count as missing; of a feature
    in `ttl_seconds_of` those older than that.
    """

    store_uri: str
    product: str
    request: dict[str, str]
    event_time: EventTime
    ttl_seconds: float
    ttl_seconds_of: dict[str, float] = {}


class Autoscale(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Between how many instances a deployment is scaled, and by which mean CPU utilisation (percent) over a window."""

    min_instances: int
    max_instances: int
    scale_out_cpu_percent: int = 70
    scale_in_cpu_percent: int = 30
    window_minutes: int = 5
    cooldown_minutes: int = 10

    def within(self, instances: int) -> int:
        """The number within the bounds that is nearest."""
        return min(max(instances, self.min_instances), self.max_instances)


class EndpointDeclaration(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What an endpoint is to be; a ValueError names what does not fit.

    `traffic` gives the percent of the requests that each deployment answers, 100 in all or nothing; `mirror` the
    percent of them that one other deployment scores as well, without answering (shadow traffic). Each record brings
    the columns `primary_key` and `event_time` beside the model's inputs, so that labels find it. `port` 0 lets the
    host choose one, once. `replay_clock` lets callers say what time it is, for replays. Beyond
    `max_concurrent_requests` a worker, callers are sent away for a while; a worker that takes more than
    `max_worker_mib` of memory is replaced. Without `online` a caller sends every input itself. `autoscale` is for
    places that add and remove instances; a host on this machine keeps its workers.
    """

    name: str
    deployments: tuple[Deployment, ...]
    traffic: dict[str, int]
    primary_key: tuple[str, ...]
    event_time: str
    mirror: dict[str, int] = {}
    port: int = 0
    replay_clock: bool = False
    workers: int = 1
    max_concurrent_requests: int = 256
    max_worker_mib: int = 1024
    online: OnlineDeclaration | None = None
    autoscale: Autoscale | None = None

    def __post_init__(self) -> None:
        names = [deployment.name for deployment in self.deployments]
        if len(set(names)) < len(names):
            raise ValueError(f"endpoint {self.name!r} declares deployments of equal name: {names}")
        if unknown := sorted({*self.traffic, *self.mirror} - set(names)):
            raise ValueError(f"endpoint {self.name!r} sends requests to {unknown}, which it does not declare")
        shares = [*self.traffic.values(), *self.mirror.values()]
        if min(shares, default=0) < 0 or sum(self.traffic.values()) not in (0, 100) or max(shares, default=0) > 100:
            raise ValueError(f"endpoint {self.name!r}: the traffic must be 100 percent or none, got {self.traffic}")
        if len(self.mirror) > 1:
            raise ValueError(f"endpoint {self.name!r} mirrors to more than one deployment: {self.mirror}")
        if min(self.workers, self.max_concurrent_requests, self.max_worker_mib) < 1:
            raise ValueError(f"endpoint {self.name!r} needs at least one worker, one request and one MiB")

    def deployment(self, name: str) -> Deployment | None:
        """The deployment of that name."""
        return next((deployment for deployment in self.deployments if deployment.name == name), None)


class Declared(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """declared.json: a declaration, the modelDataCollector folder (path, file:// or abfss:// URI), a growing number."""

    generation: int
    endpoint: EndpointDeclaration
    inference_log: str
    role: Role = "serving"


class Observed(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a worker, or all of them (observed.json), made of generation `generation` so far.

    `refused` says by a deployment's name why it is not served. `pid` is the process that says so.
    """

    generation: int
    pid: int
    port: int = 0
    refused: dict[str, str] = {}


class Keys(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """keys.json: either key opens the endpoint, so that one can be changed while the other is in use."""

    primary: str
    secondary: str

    def __repr__(self) -> str:
        return "Keys(...)"


def read_state(path: Path, kind: type[T]) -> T | None:
    """The content of a state file, None when there is none; raises ValueError that names a file that is unreadable."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except FileNotFoundError:
        return None
    except msgspec.DecodeError as error:
        raise ValueError(f"{path} is not a valid state file: {error}") from error


def write_state(path: Path, value: msgspec.Struct) -> None:
    """Replace a state file atomically; only its owner may read it."""
    scratch = path.with_name(f".{path.name}.{os.getpid()}")
    with os.fdopen(os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(msgspec.json.format(msgspec.json.encode(value), indent=1) + b"\n")
    scratch.replace(path)


def fingerprint(path: Path) -> tuple[int, int] | None:
    """Changes whenever `path` is replaced; None when it is absent."""
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    return status.st_ino, status.st_mtime_ns


@contextmanager
def exclusive(path: Path, seconds: float) -> Iterator[int]:
    """Hold the lock file `path` and yield its descriptor; raises TimeoutError when another holds it for `seconds`."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    deadline = time.monotonic() + seconds
    try:
        while not _try_lock(descriptor, fcntl.LOCK_EX):
            if time.monotonic() > deadline:
                raise TimeoutError(f"{path} is held by another process")
            time.sleep(0.02)
        yield descriptor
    finally:
        os.close(descriptor)


def is_held(path: Path) -> bool:
    """Whether a living process holds the lock file `path`."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return False
    try:
        return not _try_lock(descriptor, fcntl.LOCK_SH)
    finally:
        os.close(descriptor)


def _try_lock(descriptor: int, kind: int) -> bool:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
