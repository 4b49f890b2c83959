"""A deployment in a home of its own, as a tree of real processes that a test may kill one by one or all at once."""

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import dagster as dg
import httpx
import psutil
from dagster._core.storage.dagster_run import FINISHED_STATUSES

from ml_platform.gateways.run_launcher import worker_of
from ml_platform.processes import group, living
from ml_platform.runs import end_workers
from ml_platform.settings import Settings
from ml_platform_tests.e2e.line import environment_of

DEADLINE = 240
LAUNCH = """mutation launch($assets: [AssetKeyInput!]!, $tags: [ExecutionTag!]) {
  launchRun(executionParams: {
    selector: {repositoryLocationName: "ml_platform", repositoryName: "__repository__", jobName: "__ASSET_JOB",
               assetSelection: $assets},
    runConfigData: {}, executionMetadata: {tags: $tags}
  }) { __typename ... on LaunchRunSuccess { run { runId } } ... on PythonError { message } }
}"""


class Deployment:
    """`ml-platform up` on a home, and what it runs."""

    def __init__(self, settings: Settings, module: str, instance: dg.DagsterInstance) -> None:
        self.settings, self.instance, self._module = settings, instance, module
        self._address = settings.home / "address"
        self._up: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start everything and wait until it answers."""
        self._address.unlink(missing_ok=True)
        with environment_of(self.settings), (self.settings.home / "up.log").open("ab") as log:
            command = [sys.executable, "-m", "ml_platform_tests.live.up", self._module, str(self._address)]
            self._up = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
        eventually(lambda: self._address.exists() or self._process.poll() is not None, "the services answer")
        assert self._process.poll() is None, (self.settings.home / "up.log").read_text()

    def stop(self) -> None:
        """What Ctrl-C does."""
        self._process.send_signal(signal.SIGINT)
        assert self._process.wait(DEADLINE) == 0

    def service(self, name: str) -> psutil.Process:
        """The process of a service: `code-server`, `dagster-ui`, `daemon` or `mlflow`."""
        found = living((self.settings.home / "services" / f"{name}.process").read_text())
        assert found, f"{name} is not up"
        return found

    def kill_service(self, name: str) -> None:
        """SIGKILL a service and wait until the supervisor has started it again."""
        service = self.service(name)
        service.kill()
        eventually(lambda: self._is_up_again(name, service), f"{name} is up again")

    def kill_everything(self) -> None:
        """SIGKILL supervisor, services, run workers and their jobs at once, as a machine that stops does."""
        leaders = [psutil.Process(self._process.pid), *self._services(), *self.workers()]
        for process in [member for leader in leaders for member in (leader, *group(leader.pid))]:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        self._process.wait()

    def launch(self, asset: Sequence[str], **tags: str) -> str:
        """Ask the web server for a run of one asset, as a person does; its id."""
        variables = {
            "assets": [{"path": list(asset)}],
            "tags": [{"key": key, "value": value} for key, value in tags.items()],
        }

        def ask() -> str | None:
            url = f"{self._address.read_text()}/graphql"
            with suppress(httpx.TransportError):
                answer = httpx.post(url, json={"query": LAUNCH, "variables": variables}, timeout=30).json()
                return answer.get("data", {}).get("launchRun", {}).get("run", {}).get("runId")
            return None

        return eventually(ask, f"a run of {asset} is taken")

    def worker(self, run_id: str) -> psutil.Process:
        """The process of a run, once it has one."""
        return eventually(lambda: worker_of(self.run(run_id)), f"run {run_id} has a worker")

    def workers(self) -> list[psutil.Process]:
        """The processes of all runs."""
        unfinished = [run for run in self.instance.get_runs() if not run.is_finished]
        return [worker for run in unfinished if (worker := worker_of(run))]

    def job(self, run_id: str) -> psutil.Process:
        """The program that the worker of a run has started, once there is one."""
        return eventually(lambda: next(iter(jobs_of(self.worker(run_id))), None), f"run {run_id} has a job")

    def run(self, run_id: str) -> dg.DagsterRun:
        """A run as it stands."""
        run = self.instance.get_run_by_id(run_id)
        assert run
        return run

    def outcome(self, run_id: str) -> list[dg.DagsterRun]:
        """A run and those that Dagster started in its place, once all have ended and the last one has succeeded."""

        def ended() -> list[dg.DagsterRun] | None:
            _, runs = self.instance.get_run_group(run_id) or ("", [self.run(run_id)])
            done = sorted(runs, key=lambda run: int(run.tags.get("dagster/retry_number", 0)))
            return done if done[-1].status == dg.DagsterRunStatus.SUCCESS else None

        found = eventually(ended, f"run {run_id} or one in its place succeeds")
        assert all(run.status in FINISHED_STATUSES for run in found)
        return found

    def end(self) -> None:
        """End all processes for certain, whatever a test has left."""
        if self._up and self._up.poll() is None:
            self._up.send_signal(signal.SIGINT)
            with suppress(subprocess.TimeoutExpired):
                self._up.wait(60)
        for leader in [
            *([psutil.Process(self._up.pid)] if self._up and self._up.poll() is None else []),
            *self._services(),
        ]:
            for process in (leader, *group(leader.pid)):
                with suppress(psutil.NoSuchProcess):
                    process.kill()
        end_workers(self.instance)

    @property
    def _process(self) -> "subprocess.Popen[bytes]":
        assert self._up, "it was never started"
        return self._up

    def _is_up_again(self, name: str, before: psutil.Process) -> bool:
        now = living((self.settings.home / "services" / f"{name}.process").read_text())
        return now is not None and now != before

    def _services(self) -> list[psutil.Process]:
        noted = (self.settings.home / "services").glob("*.process")
        return [process for file in noted if (process := living(file.read_text()))]


@contextmanager
def deployment(settings: Settings, module: str) -> Iterator[Deployment]:
    """A started deployment; nothing of it is left at the end."""
    from ml_platform.services import prepare_home

    with environment_of(settings):
        prepare_home(settings)
    with dg.DagsterInstance.from_config(str(settings.dagster_home)) as instance:
        deployed = Deployment(settings, module, instance)
        try:
            deployed.start()
            yield deployed
        finally:
            deployed.end()


def jobs_of(worker: psutil.Process) -> list[psutil.Process]:
    """The programs that a worker waits for; its other children copy its output into files."""
    found, children = [], []
    with suppress(psutil.NoSuchProcess):
        children = worker.children()
    for child in children:
        with suppress(psutil.NoSuchProcess):
            command = child.cmdline()
            found += [child] if command[1:2] == ["-m"] else []
    return found


def eventually(look: Callable[[], Any], what: str, seconds: float = DEADLINE, pause: float = 0.05) -> Any:
    """What `look` finds, as soon as it is something true."""
    deadline = time.monotonic() + seconds
    while not (found := look()):
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(pause)
    return found
