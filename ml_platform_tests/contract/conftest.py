"""What the contract tests share."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from ml_platform_tests.contract.local_world import NAME, World


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path)
    yield world
    world.endpoints.delete(NAME)
