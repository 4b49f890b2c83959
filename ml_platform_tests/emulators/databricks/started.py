"""Starts the emulated workspace for a test, and says by which environment databricks-sdk reaches it."""

import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from ml_platform.gateways.jobs.databricks import DatabricksJobs
from ml_platform.settings import PROJECT_ROOT
from ml_platform_tests.emulators.process import Cloud, Emulator, started


@dataclass(frozen=True)
class Databricks:
    """A workspace with one volume and one service principal."""

    emulator: Emulator
    volume: str
    client_id: str

    def environment(self) -> dict[str, str]:
        """The variables that databricks-sdk and requests read."""
        cloud = self.emulator.cloud
        login = {"DATABRICKS_CLIENT_ID": self.client_id, "DATABRICKS_CLIENT_SECRET": cloud.secret}
        return {**login, "REQUESTS_CA_BUNDLE": str(cloud.ca)}

    def jobs(self, **settings: Any) -> DatabricksJobs:
        """The gateway to this workspace."""
        return DatabricksJobs(self.emulator.address, self.volume, **settings)

    def runs(self) -> list[dict[str, Any]]:
        """All runs as the service tells them, each with the `body` that was submitted."""
        return self.emulator._control("GET", "runs")

    def keep(self, **secrets: str) -> None:
        """Put secrets into the scope `ml-platform`, by their keys; `_` stands for `-`."""
        named = {f"{{{{secrets/ml-platform/{key.replace('_', '-')}}}}}": value for key, value in secrets.items()}
        self.emulator._control("POST", "secrets", named)

    def change(self, **whims: Any) -> None:
        """How the next runs go: see `compute.Whims`."""
        self.emulator._control("POST", "compute", whims)


@contextmanager
def databricks(cloud: Cloud, environment: Mapping[str, str] | None = None) -> Iterator[Databricks]:
    """A workspace of the cloud; its Spark reaches a lake by `environment`. Tasks find the packages of this project's
    tests, but not those of the project.
    """
    volume = f"/Volumes/emulated_{secrets.token_hex(4)}/ml_platform/files"
    client_id = "66666666-7777-8888-9999-000000000000"
    variables = {"PYTHONPATH": str(PROJECT_ROOT), **(environment or {})}
    packages = cloud.folder / f"packages{volume.replace('/', '-')}"
    packages.mkdir(parents=True)
    packages.joinpath("ml_platform_tests").symlink_to(PROJECT_ROOT / "ml_platform_tests")
    with started(cloud, "databricks", volume, client_id, str(packages), environment=variables) as emulator:
        yield Databricks(emulator, volume, client_id)
