"""The files of an endpoint's directory: what the gateway declares, what the host observes, and who may do so."""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, TypeVar

import msgspec

DECLARED_FILE = "declared.json"
OBSERVED_FILE = "observed.json"
KEYS_FILE = "keys.json"
LOCK_FILE = "host.lock"
"""Held by the living host and holding its pid: the kernel frees it with the process, however that dies."""

T = TypeVar("T")


class Deployment(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One model version behind an endpoint; `serving_dir` holds model.onnx and signature.json."""

    name: str
    model_name: str
    model_version: str
    serving_dir: str


class EndpointDeclaration(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What an endpoint is to be.

    Each record brings the columns `primary_key` and `event_time` beside the model's inputs, so that labels find it.
    `port` 0 lets the host choose one, once. `replay_clock` lets callers say what time it is, for replays.
    """

    name: str
    deployment: Deployment
    primary_key: tuple[str, ...]
    event_time: str
    port: int = 0
    replay_clock: bool = False


class Declared(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """declared.json: a declaration, the modelDataCollector folder (path or file:// URI) and a number that grows."""

    generation: int
    endpoint: EndpointDeclaration
    inference_log: str


class Observed(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """observed.json: what the host made of generation `generation`; `serving` is what it serves, refused or not."""

    generation: int
    status: Literal["serving", "refused"]
    port: int
    serving: Declared | None = None
    reason: str = ""


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
