"""What the contract tests share."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from ml_platform_tests.contract.cloud import Loopback as HostingCloud
from ml_platform_tests.contract.cloud import running_cloud
from ml_platform_tests.contract.local_world import NAME, World
from ml_platform_tests.emulators.databricks.started import Databricks, databricks
from ml_platform_tests.emulators.entering import add, environ
from ml_platform_tests.emulators.fixtures import arm, arm_process, client
from ml_platform_tests.emulators.process import Cloud
from ml_platform_tests.loopback_cloud import SCORING, Loopback, loopback, make_environments, reached

__all__ = ["arm", "arm_process", "client"]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path)
    yield world
    world.endpoints.delete(NAME)


@pytest.fixture(scope="module")
def databricks_of_the_module(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Databricks]:
    with databricks(Cloud(tmp_path_factory.mktemp("cloud"))) as started:
        yield started


@pytest.fixture
def workspace(databricks_of_the_module: Databricks, monkeypatch: pytest.MonkeyPatch) -> Databricks:
    """A Databricks workspace that the SDKs of the test reach."""
    # Ten seconds for messages that come late from a run that ended: in the emulator they do not.
    monkeypatch.setattr("dagster._core.pipes.utils.WAIT_FOR_LOGS_AFTER_EXECUTION_INTERVAL", 1)
    add(monkeypatch, databricks_of_the_module.environment())
    return databricks_of_the_module


@pytest.fixture
def cluster(tmp_path: Path) -> Path:
    """The file of a new cluster."""
    declared = tmp_path / "cluster.yaml"
    declared.write_text(
        "spark_version: 17.3.x-scala2.13\nnode_type_id: Standard_D4ds_v5\nnum_workers: 2\n"
        "data_security_mode: SINGLE_USER\nspark_env_vars: {STAGE: test}\n"
    )
    return declared


@pytest.fixture(scope="module")
def cloud_of_the_module(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Loopback]:
    with loopback(tmp_path_factory.mktemp("loopback")) as started:
        yield started


@pytest.fixture
def cloud(cloud_of_the_module: Loopback) -> Iterator[Loopback]:
    """An Azure ML workspace and a lake that the SDKs of the test reach; it fails on what the emulator recorded."""
    with reached(cloud_of_the_module):
        yield cloud_of_the_module
    cloud_of_the_module.arm.clear_faults()
    cloud_of_the_module.arm.assert_clean()


@pytest.fixture(scope="session")
def shared_hosting_cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HostingCloud]:
    with running_cloud(tmp_path_factory.mktemp("cloud")) as cloud:
        with environ(cloud.environment):
            make_environments(SCORING)
        yield cloud


@pytest.fixture
def hosting_cloud(shared_hosting_cloud: HostingCloud) -> Iterator[HostingCloud]:
    """A loopback cloud that this process is in; a broken contract fails the test."""
    with environ(shared_hosting_cloud.environment):
        yield shared_hosting_cloud
        shared_hosting_cloud.clean()
