"""Runs the scoring server's container as a process: the same command and environment, on a port of its own."""

import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ml_platform.scoring.container_contract import PORT_VARIABLE
from ml_platform_tests.ports import free_port

COMMAND = (sys.executable, "-m", "ml_platform.scoring", "--container")
NOT_INHERITED = ("AZURE_", "IDENTITY_", "MSI_", "ML_PLATFORM_")
"""A container has its own environment: of these it gets what it is given."""


@dataclass
class Container:
    """A running container; `log` is what it writes."""

    port: int
    log: Path
    process: "subprocess.Popen[bytes]" = field(repr=False)

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def running(self) -> bool:
        return self.process.poll() is None

    def terminate(self) -> None:
        """Ask it to end; it answers what it has begun."""
        self.process.terminate()

    def kill(self) -> None:
        """End it at once, with its workers."""
        if self.running:
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def tail(self, lines: int = 50) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])


def container_environment(given: Mapping[str, str], port: int) -> dict[str, str]:
    """The environment of a container that is given those variables: instead of a network it has a port of its own."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(NOT_INHERITED)}
    return {**inherited, **given, PORT_VARIABLE: str(port)}


def start_container(environment: Mapping[str, str], log: Path) -> Container:
    """Start one."""
    port = free_port()
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as file:
        process = subprocess.Popen(
            COMMAND,
            env=container_environment(environment, port),
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            start_new_session=True,
        )
    return Container(port, log, process)
