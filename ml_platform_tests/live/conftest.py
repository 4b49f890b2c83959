"""What the live tests share: the line of the end-to-end tests in a home of its own, kept by real services."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from ml_platform_tests.e2e.line import Line
from ml_platform_tests.live.live_line import LiveLine, live_copy_of


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            item.add_marker("loop")


@pytest.fixture(scope="module")
def live(line: Line, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveLine]:
    """A copy of the line with its endpoint, and everything that `ml-platform up` starts."""
    with live_copy_of(line, tmp_path_factory.mktemp("live") / "home") as live:
        yield live
