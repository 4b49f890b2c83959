"""Fixtures: an emulated Azure ML workspace a module, reached by this process's SDKs, clean at the end of each test."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from ml_platform_tests.emulators.arm.state import Workspace
from ml_platform_tests.emulators.entering import enter
from ml_platform_tests.emulators.process import Cloud, Emulator, started

if TYPE_CHECKING:
    from azure.ai.ml import MLClient


@pytest.fixture(scope="module")
def arm_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    """The emulator of a module's tests; what one test made is there for the next, so tests name their own resources."""
    with started(Cloud(tmp_path_factory.mktemp("cloud")), "arm") as emulator:
        yield emulator


@pytest.fixture
def arm(arm_process: Emulator, monkeypatch: pytest.MonkeyPatch) -> Iterator[Emulator]:
    """The emulator, reached by the environment alone; a violation or an unknown route fails the test at its end."""
    enter(arm_process, monkeypatch)
    arm_process.clear()
    yield arm_process
    arm_process.clear_faults()
    arm_process.assert_clean()


@pytest.fixture
def client(arm: Emulator) -> "MLClient":
    """The SDK as the platform uses it: nothing tells it that it is on the loopback but the environment."""
    from azure.ai.ml import MLClient
    from azure.identity import DefaultAzureCredential

    place = Workspace()
    return MLClient(DefaultAzureCredential(), place.subscription, place.group, place.name)
