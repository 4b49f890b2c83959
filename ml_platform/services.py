"""Starts and stops the services that a person looks at: Dagster's web server and daemon, and MLflow's."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlparse

import httpx
from rich.console import Console

from ml_platform.errors import PlatformError
from ml_platform.runs import end_abandoned
from ml_platform.settings import PROJECT_ROOT, Settings

DAGSTER_PORT, MLFLOW_PORT = 3000, 5000
MLFLOW_SETTINGS = {
    # Its job runner starts five processes that nothing here uses.
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
}
START_SECONDS = 120
STOP_SECONDS = 20


@dataclass(frozen=True)
class Service:
    """A started service and where it answers; `health` is the path that says that it is ready."""

    name: str
    url: str
    health: str
    log: Path
    process: subprocess.Popen


def prepare_home(settings: Settings) -> None:
    """Create the folders and stores of a deployment once, before several processes race to do it."""
    settings.dagster_home.mkdir(parents=True, exist_ok=True)
    (settings.home / "logs").mkdir(exist_ok=True)
    shutil.copyfile(PROJECT_ROOT / "deployments" / "local" / "dagster.yaml", settings.dagster_home / "dagster.yaml")
    os.environ["DAGSTER_HOME"] = str(settings.dagster_home)
    os.environ |= MLFLOW_SETTINGS
    from dagster import DagsterInstance
    from mlflow import MlflowClient

    with DagsterInstance.get() as instance:
        end_abandoned(instance)
    MlflowClient(settings.mlflow_tracking_uri).search_experiments(max_results=1)


@contextmanager
def user_interfaces(settings: Settings) -> Iterator[list[Service]]:
    """Dagster's UI with its daemon, and MLflow's, each answering; both are stopped at the end."""
    dagster = ["dagster", "dev", "-w", str(PROJECT_ROOT / "workspace.yaml"), "-h", "127.0.0.1", "-p"]
    mlflow = ["mlflow", "server", "--backend-store-uri", settings.mlflow_tracking_uri, "--workers", "1"]
    mlflow += ["--default-artifact-root", settings.mlflow_artifact_uri, "--host", "127.0.0.1", "--port"]
    mlflow_port = urlparse(settings.mlflow_ui).port or MLFLOW_PORT
    with ExitStack() as stack:
        services = [
            stack.enter_context(_started(settings, "Dagster UI", dagster, _free_port(DAGSTER_PORT), "/server_info")),
            stack.enter_context(_started(settings, "MLflow", mlflow, _free_port(mlflow_port), "/health")),
        ]
        for service in services:
            _wait_until_healthy(service)
        yield services


def keep_up(console: Console) -> None:
    """Wait for Ctrl-C or a termination."""
    console.print("Press Ctrl-C to stop.")
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with suppress(KeyboardInterrupt):
        signal.pause()


@contextmanager
def _started(settings: Settings, name: str, module: list[str], port: int, health: str) -> Iterator[Service]:
    log = settings.home / "logs" / f"{module[0]}.log"
    homes = {"ML_PLATFORM_HOME": str(settings.home), "DAGSTER_HOME": str(settings.dagster_home)}
    with log.open("ab") as output:
        # A session of its own, so that stopping it stops the processes that it started as well.
        process = subprocess.Popen(
            [sys.executable, "-m", *module, str(port)],
            cwd=PROJECT_ROOT,
            env={**os.environ, **homes},
            stdout=output,
            stderr=output,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
    try:
        yield Service(name, f"http://127.0.0.1:{port}", health, log, process)
    finally:
        _stop(process)


def _wait_until_healthy(service: Service) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if (code := service.process.poll()) is not None:
            raise PlatformError(f"{service.name} ended with code {code}; its log is {service.log}")
        try:
            if httpx.get(service.url + service.health, timeout=2).is_success:
                return
        except httpx.TransportError:
            time.sleep(0.2)
    raise PlatformError(f"{service.name} did not answer within {START_SECONDS} s; its log is {service.log}")


def _stop(process: subprocess.Popen) -> None:
    for sign in (signal.SIGINT, signal.SIGKILL):
        try:
            os.killpg(process.pid, sign)
            process.wait(STOP_SECONDS)
        except ProcessLookupError:
            return
        except subprocess.TimeoutExpired:
            continue


def _free_port(preferred: int) -> int:
    """The preferred port, or any free one when it is taken."""
    for port in (preferred, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return probe.getsockname()[1]
    raise PlatformError("There is no free port on 127.0.0.1")
