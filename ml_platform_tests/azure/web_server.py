"""Dagster's web server on a deployment of the loopback cloud, asked as its pages ask it."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from ml_platform.services import LOCATION
from ml_platform_tests.azure.deployment import Deployment
from ml_platform_tests.live.deployment import LAUNCH, eventually
from ml_platform_tests.ports import free_port

TERMINATE = """mutation terminate($runId: String!) {
  terminateRun(runId: $runId) {
    __typename ... on TerminateRunSuccess { run { runId } } ... on TerminateRunFailure { message }
    ... on PythonError { message }
  }
}"""
STATUS = "query status($runId: ID!) { runOrError(runId: $runId) { ... on Run { status } } }"


@dataclass(frozen=True)
class WebServer:
    """A running one at `address`."""

    address: str

    def launch(self, *path: str) -> str:
        """What the button `Materialize` of an asset asks for; the run's id."""
        return self._ask(LAUNCH, assets=[{"path": list(path)}], tags=[])["launchRun"]["run"]["runId"]

    def terminate(self, run: str) -> None:
        """What the button `Terminate` asks for, without force."""
        answer = self._ask(TERMINATE, runId=run)["terminateRun"]
        assert answer["__typename"] == "TerminateRunSuccess", answer

    def status(self, run: str) -> str:
        return self._ask(STATUS, runId=run)["runOrError"]["status"]

    def _ask(self, query: str, **variables: Any) -> dict[str, Any]:
        body = {"query": query, "variables": variables}
        answer = httpx.post(f"{self.address}/graphql", json=body, timeout=60, trust_env=False).json()
        assert "errors" not in answer, answer
        return answer["data"]


@contextmanager
def web_server(cloud: Deployment, module: str) -> Iterator[WebServer]:
    """Start it in the environment of this process, with a code location; its runs are processes of their own."""
    port = free_port()
    workspace = cloud.home / "workspace.yaml"
    code = f"{{module_name: {module}, location_name: {LOCATION}}}"
    workspace.write_text(f"load_from:\n  - python_module: {code}\n")
    command = [sys.executable, "-m", "dagster_webserver", "-h", "127.0.0.1", "-p", str(port), "-w", str(workspace)]
    with (cloud.home / "web-server.log").open("ab") as log:
        # Workers are started as `dagster`, as the image has it on its path.
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        process = subprocess.Popen(command, env=os.environ | {"PATH": path}, stdout=log, stderr=log)
    server = WebServer(f"http://127.0.0.1:{port}")
    try:
        eventually(lambda: _answers(server.address) or process.poll() is not None, "the web server answers")
        assert process.poll() is None, (cloud.home / "web-server.log").read_text()
        yield server
    finally:
        process.terminate()
        process.wait(60)


def _answers(address: str) -> bool:
    with suppress(httpx.TransportError):
        return httpx.get(f"{address}/server_info", timeout=5, trust_env=False).is_success
    return False
