"""Serverless compute and new clusters: installs what a task asks for and runs it, with Spark on one Sail server."""

import asyncio
import json
import os
import re
import sys
import zipfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from functools import cached_property
from importlib.metadata import Distribution, PackageNotFoundError, PathDistribution, version
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement

from ml_platform_tests.emulators.databricks.interpreters import Interpreter, Interpreters
from ml_platform_tests.emulators.databricks.runs import Run
from ml_platform_tests.emulators.recording import Record

MACHINE = ("PATH", "HOME", "LANG")
NETWORK = ("SSL_CERT_FILE",)
"""What a machine has from this one, and what stands for the certificates of a real network."""

BROUGHT = {"pyspark", "pandas", "pyarrow", "numpy"}
"""What a runtime has of its own: another version over it breaks it."""

KILLED = (
    "Fatal error: The Python kernel is unresponsive. The Python process exited with exit code 137 (SIGKILL: Killed)."
    " This may have been caused by an OOM error."
)


LOG, OUTCOME = "log", "outcome.json"


class NotInstalled(Exception):
    """A library of a task cannot be installed."""


@dataclass
class Whims:
    """What tests want of the next runs."""

    lose: int = 0
    """So many lose their machine once their program is under way."""
    queue_seconds: float = 0.0
    ignore_timeout: bool = False
    ignore_cancel_seconds: float = 0.0


@dataclass
class Compute:
    """`folder` is the emulator's own; `volume` is the path that tasks know; `packages` are more that they find."""

    folder: Path
    volume: Path
    packages: list[str]
    record: Record
    whims: Whims = field(default_factory=Whims)
    secrets: dict[str, str] = field(default_factory=dict, repr=False)
    """By their references, `{{secrets/SCOPE/KEY}}`: a cluster's environment variables may be such, and programs ask."""
    _tasks: dict[int, "asyncio.Task[None]"] = field(default_factory=dict)
    _processes: dict[int, Interpreter] = field(default_factory=dict)
    _interpreters: Interpreters = field(default_factory=Interpreters)

    @asynccontextmanager
    async def lifespan(self, _: Any) -> AsyncIterator[None]:
        """While the emulator runs, its volume is there under /Volumes, as a cluster mounts it."""
        catalog = Path(*self.volume.parts[:3])
        stored = self.folder / "volumes" / catalog.name
        stored.joinpath(*self.volume.parts[3:]).mkdir(parents=True, exist_ok=True)
        try:
            catalog.parent.mkdir(exist_ok=True)
            catalog.symlink_to(stored)
        except PermissionError as error:
            sys.exit(f"{error}: make {catalog.parent} writable: sudo install -d -m 1777 {catalog.parent}")
        # A workspace has warm machines: the first task need not wait for them.
        warming = asyncio.gather(self._interpreters.warm(), asyncio.to_thread(lambda: self._spark))
        try:
            yield
        finally:
            await warming
            for running in self._processes.values():
                running.kill()
            catalog.unlink()

    @cached_property
    def _spark(self) -> str:
        os.environ.setdefault("RUST_LOG", "error")
        from pysail.spark import SparkConnectServer

        server = SparkConnectServer(ip="127.0.0.1", port=0)
        server.start(background=True)
        host, port = server.listening_address or ("", 0)  # known once it is started
        self._server = server
        return f"sc://{host}:{port}"

    def start(self, run: Run) -> None:
        """Have the run's task executed."""
        self._tasks[run.run_id] = asyncio.create_task(self._guarded(run))

    def cancel(self, run: Run) -> None:
        """End what the run does; it is told as cancelled once that is over."""
        if run.state == "PENDING":
            self._tasks[run.run_id].cancel()
            run.end("CANCELED", "USER_CANCELED", "SUCCESS", "Run cancelled.")
        elif not run.over:
            run.state = "TERMINATING"
            asyncio.get_running_loop().call_later(self.whims.ignore_cancel_seconds, self._end, run)

    def _end(self, run: Run) -> None:
        if process := self._processes.get(run.run_id):
            process.kill()

    async def _guarded(self, run: Run) -> None:
        try:
            await self._run(run)
        except NotInstalled as error:
            run.end("FAILED", "LIBRARY_INSTALLATION_ERROR", "CLIENT_ERROR", str(error), "INTERNAL_ERROR")
        except Exception as error:
            self.record.violate("compute", f"the emulator failed: {error!r}")
            run.end("FAILED", "INTERNAL_ERROR", "INTERNAL_ERROR", repr(error), "INTERNAL_ERROR")
            raise

    async def _run(self, run: Run) -> None:
        await asyncio.sleep(self.whims.queue_seconds)
        spark = await asyncio.to_thread(lambda: self._spark)
        variables = self._variables(run, spark, self._installed(run))
        scratch = self.folder / "runs" / str(run.run_id)
        scratch.mkdir(parents=True)
        kind = "new_cluster" if "new_cluster" in run.task else "serverless"
        process = self._processes[run.run_id] = await self._started(run, kind, scratch, variables)
        run.state = "RUNNING"
        why = await self._watched(run, process)
        run.output = {"logs": (scratch / LOG).read_text(), "logs_truncated": False}
        with suppress(FileNotFoundError):
            run.output |= json.loads((scratch / OUTCOME).read_text())
        self._conclude(run, process.code, kind, why)

    async def _started(self, run: Run, kind: str, scratch: Path, variables: dict[str, str]) -> Interpreter:
        asked = run.task["python_wheel_task"]
        command = [str(scratch / OUTCOME), kind, asked["package_name"], asked["entry_point"]]
        (scratch / LOG).touch()
        return await self._interpreters.start(
            [*command, *asked.get("parameters", [])], scratch, scratch / LOG, variables, self.secrets
        )

    async def _watched(self, run: Run, process: Interpreter) -> str:
        """Wait for the process; "lost" or "late" when it was not left to end by itself."""
        ending = asyncio.create_task(process.wait())
        if self.whims.lose:
            self.whims.lose -= 1
            await asyncio.wait([ending], timeout=1.0)
            process.kill()
            await ending
            return "lost"
        limit = None if self.whims.ignore_timeout else run.body.get("timeout_seconds") or None
        done, _ = await asyncio.wait([ending], timeout=limit)
        if not done:
            process.kill()
            await ending
            return "late"
        return ""

    def _conclude(self, run: Run, code: int, kind: str, why: str) -> None:
        if run.cancelled:
            run.end("CANCELED", "USER_CANCELED", "SUCCESS", "Run cancelled.")
        elif why == "late":
            run.end("TIMEDOUT", "RUN_EXECUTION_ERROR", "CLIENT_ERROR", "Run timed out.")
        elif why == "lost":
            message = "Could not reach driver of cluster 1129-000000-emulated."
            run.end("FAILED", "CLOUD_FAILURE", "CLOUD_FAILURE", message, "INTERNAL_ERROR")
        elif code < 0 and kind == "new_cluster":
            run.output["error"] = "The spark driver has stopped unexpectedly and is restarting."
            run.end(
                "FAILED", "DRIVER_ERROR", "CLIENT_ERROR", "Driver of the cluster is unresponsive.", "INTERNAL_ERROR"
            )
        elif code:
            if code < 0:
                run.output["error"] = KILLED
            run.end("FAILED", "RUN_EXECUTION_ERROR", "CLIENT_ERROR", "Workload failed, see run output for details.")
        else:
            run.end("SUCCESS", "SUCCESS", "SUCCESS")

    def _variables(self, run: Run, spark: str, wheels: list[Path]) -> dict[str, str]:
        kept = {name: os.environ[name] for name in (*MACHINE, *NETWORK) if name in os.environ}
        found = os.pathsep.join([*map(str, wheels), *self.packages])
        variables = kept | {"PYTHONPATH": found, "PYTHONDONTWRITEBYTECODE": "1", "SPARK_REMOTE": spark}
        if "new_cluster" in run.task:
            cluster = run.task["new_cluster"]
            given = {name: self._resolved(value) for name, value in cluster.get("spark_env_vars", {}).items()}
            return {**variables, "DATABRICKS_RUNTIME_VERSION": cluster["spark_version"].split(".x")[0], **given}
        return {**variables, "DATABRICKS_RUNTIME_VERSION": "client.4.9", "IS_SERVERLESS": "TRUE"}

    def _resolved(self, value: str) -> str:
        if value.startswith("{{secrets/") and value not in self.secrets:
            raise NotInstalled(f"Secret does not exist: {value}")
        return self.secrets.get(value, value)

    def _installed(self, run: Run) -> list[Path]:
        """Where each wheel that the task asks for is unpacked, once all its requirements are found to be there."""
        folders = []
        for asked in _requirements(run):
            if asked.startswith("/Volumes/"):
                folders.append(self._unpacked(Path(asked)))
                for needed in _distribution(folders[-1]).requires or []:
                    self._check(needed)
            else:
                self._check(asked)
        return folders

    def _check(self, requirement: str) -> None:
        needed = Requirement(requirement)
        if needed.marker and not needed.marker.evaluate({"extra": ""}):
            return
        if needed.name in BROUGHT:
            self.record.violate("libraries", f"{requirement} would be installed over the runtime's own")
        try:
            found = version(needed.name)
        except PackageNotFoundError as error:
            raise NotInstalled(f"No matching distribution found for {requirement}") from error
        if found not in needed.specifier:
            raise NotInstalled(f"No matching distribution found for {requirement}: the emulator has {found}")

    def _unpacked(self, wheel: Path) -> Path:
        if not wheel.is_file() or not wheel.is_relative_to(self.volume):
            raise NotInstalled(f"Library installation failed: {wheel} does not exist")
        if not re.fullmatch(r"[\w.]+-[\w.+]+-\w+-\w+-\w+\.whl", wheel.name):
            raise NotInstalled(f"Library installation failed: {wheel.name} is no name of a wheel")
        folder = self.folder / "installed" / "-".join(wheel.parts[2:])
        if not folder.exists():
            with zipfile.ZipFile(wheel) as archive:
                archive.extractall(folder)
        return folder


def _requirements(run: Run) -> Iterator[str]:
    if "new_cluster" in run.task:
        for library in run.task.get("libraries", []):
            yield library["whl"] if "whl" in library else library["pypi"]["package"]
        return
    for environment in run.body["environments"]:
        if environment["environment_key"] == run.task["environment_key"]:
            yield from environment["spec"].get("dependencies", [])


def _distribution(folder: Path) -> Distribution:
    return PathDistribution(next(folder.glob("*.dist-info")))
