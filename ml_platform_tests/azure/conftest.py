"""The whole loop is walked once; its tests look at what it left."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from ml_platform_tests.azure.deployment import deployment
from ml_platform_tests.azure.walk import Walk, walked


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            item.add_marker("azure")


@pytest.fixture(scope="package")
def walk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Walk]:
    """The loop in the loopback cloud."""
    with deployment(tmp_path_factory.mktemp("azure") / "cloud") as cloud:
        yield walked(cloud)
