"""This machine, where programs run on it: disk, memory, libraries and ports."""

import socket
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

from ml_platform.doctor.check import CheckFailed, Seen
from ml_platform.gateways.endpoints.process import host_is_alive

if TYPE_CHECKING:
    from collections.abc import Mapping

GIB = 2**30
LEAST_DISK_GIB = 2.0
LEAST_MEMORY_GIB = 2.0
"""What `make demo` takes at most."""

SPARK = {"pysail": "pysail", "pyspark": "pyspark.sql.connect.session", "deltalake": "deltalake"}
TRAINING = {"lightgbm": "lightgbm", "scikit-learn": "sklearn", "onnx": "onnx", "optuna": "optuna"}
SCORING = {"onnxruntime": "onnxruntime", "starlette": "starlette", "uvicorn": "uvicorn", "msgspec": "msgspec"}
"""Distributions, and what of each is imported: some break only then, for a library of the system."""


def look_at_disk(home: Path) -> Seen:
    """Free space where the deployment keeps its things."""
    import psutil

    there = next(each for each in (home, *home.parents) if each.exists())
    usage = psutil.disk_usage(str(there))
    seen: Seen = {"folder": str(home), "free_gib": round(usage.free / GIB, 1), "used_percent": usage.percent}
    if usage.free < LEAST_DISK_GIB * GIB:
        raise CheckFailed(
            f"{usage.free / GIB:.1f} GiB are free for {home}",
            f"Free at least {LEAST_DISK_GIB:g} GiB on the disk of {there}, or name another folder in ML_PLATFORM_HOME",
            **seen,
        )
    return seen


def look_at_memory() -> Seen:
    """Memory that programs can still get."""
    import psutil

    memory = psutil.virtual_memory()
    seen: Seen = {"available_gib": round(memory.available / GIB, 1), "total_gib": round(memory.total / GIB, 1)}
    if memory.available < LEAST_MEMORY_GIB * GIB:
        raise CheckFailed(
            f"{memory.available / GIB:.1f} GiB of memory are available",
            f"End what takes memory on this machine: a training and a Spark program need {LEAST_MEMORY_GIB:g} GiB",
            **seen,
        )
    return seen


def look_at_libraries(wanted: "Mapping[str, str]", extra: str) -> Seen:
    """Import each; `wanted` is the module by distribution, `extra` what of ml-platform installs them."""
    found: Seen = {}
    for distribution, module in wanted.items():
        try:
            import_module(module)
            found[distribution] = version(distribution)
        except (ImportError, OSError, PackageNotFoundError) as error:
            raise CheckFailed(
                f"{distribution} cannot be used: {error}",
                f"Install it with pip install -c constraints.txt 'ml-platform{extra}', and the library of the system "
                "that the message names, if any",
                **found,
            ) from error
    return found


def look_at_ports(home: Path, ports: "Mapping[str, int]") -> Seen:
    """`ports` by endpoint (0: any): each must be free or held by the endpoint's own host."""
    seen: Seen = {}
    for endpoint, port in ports.items():
        serves = host_is_alive(home / "endpoints" / endpoint)
        if not serves and not _free(port):
            raise CheckFailed(
                f"port {port} of endpoint {endpoint} is taken by another program",
                f"End what listens on 127.0.0.1:{port}, or declare another endpoint.port for {endpoint}",
            )
        seen[endpoint] = "served" if serves else f"port {port} is free" if port else "any port"
    return seen


def _free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
