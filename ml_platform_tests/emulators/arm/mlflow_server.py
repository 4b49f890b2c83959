"""The MLflow server behind the workspace: a real one on SQLite, started when it is first asked for."""

import asyncio
import sqlite3
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from ml_platform_tests.emulators.arm.programs import Programs, own_environment
from ml_platform_tests.emulators.listening import LOCAL, socket_at

SECONDS = 90
# Its job runner starts five processes that nothing here uses.
SETTINGS = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}


@dataclass
class MlflowServer:
    """Keeps its database and the artifacts that nobody asks it for below `folder`."""

    folder: Path
    programs: Programs
    address: str = ""
    _starting: asyncio.Lock = field(default_factory=asyncio.Lock, repr=False)

    @property
    def database(self) -> Path:
        return self.folder / "mlflow.db"

    async def call(self, method: str, path: str, query: str = "", body: bytes = b"") -> httpx.Response:
        """Pass a call of MLflow's REST API on: `path` as "runs/create"."""
        await self._start()
        headers = {"Content-Type": "application/json"}
        async with httpx.AsyncClient(trust_env=False, timeout=SECONDS) as client:
            url = f"{self.address}/api/2.0/mlflow/{path}?{query}"
            return await client.request(method, url, content=body, headers=headers)

    async def create_run(self, run: str, experiment: str, name: str, tags: dict[str, str]) -> str:
        """Create the run of a job, whose id is the job's name, in an experiment that is made if need be; its id.

        MLflow names its runs itself, so the new run is renamed in the database before anybody knows it.
        """
        found = await self.call("GET", "experiments/get-by-name", f"experiment_name={experiment}")
        if found.is_success:
            identifier = found.json()["experiment"]["experiment_id"]
        else:
            identifier = await self._ask("experiments/create", {"name": experiment}, "experiment_id")
        wanted = [{"key": key, "value": value} for key, value in tags.items()]
        body = {"experiment_id": identifier, "run_name": name, "tags": wanted}
        info = (await self._ask("runs/create", body, "run"))["info"]
        with sqlite3.connect(self.database, timeout=30) as database:
            for table in ("runs", "tags"):
                database.execute(f"UPDATE {table} SET run_uuid = ? WHERE run_uuid = ?", (run, info["run_id"]))
        database.close()
        return identifier

    async def end_run(self, run: str, status: str) -> None:
        """Set a run's end: FINISHED, FAILED or KILLED."""
        await self._ask("runs/update", {"run_id": run, "status": status}, "run_info")

    async def _ask(self, path: str, body: dict[str, Any], answer: str) -> Any:
        async with httpx.AsyncClient(trust_env=False, timeout=SECONDS) as client:
            await self._start()
            response = await client.post(f"{self.address}/api/2.0/mlflow/{path}", json=body)
            return response.raise_for_status().json()[answer]

    async def _start(self) -> None:
        async with self._starting:
            if self.address:
                return
            self.folder.mkdir(parents=True, exist_ok=True)
            free = socket_at()
            port = free.getsockname()[1]
            free.close()
            arguments = [
                sys.executable,
                "-m",
                "mlflow",
                "server",
                "--workers",
                "1",
                "--host",
                LOCAL,
                "--port",
                str(port),
            ]
            arguments += ["--backend-store-uri", f"sqlite:///{self.database}", "--no-serve-artifacts"]
            arguments += ["--default-artifact-root", str(self.folder / "artifacts")]
            environment = own_environment() | SETTINGS
            program = await self.programs.start(arguments, environment, self.folder, self.folder / "log.txt")
            await _answering(f"http://{LOCAL}:{port}/health", program.log)
            self.address = f"http://{LOCAL}:{port}"


async def _answering(url: str, log: Path) -> None:
    async with httpx.AsyncClient(trust_env=False) as client:
        for _ in range(SECONDS * 10):
            try:
                if (await client.get(url, timeout=2)).is_success:
                    return
            except httpx.TransportError:
                await asyncio.sleep(0.1)
    raise RuntimeError(f"the MLflow server does not answer:\n{log.read_text()[-2000:]}")
