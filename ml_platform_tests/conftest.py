"""What the end-to-end and the browser tests share: the whole line, run once on real flights."""

from collections.abc import Iterator

import pytest

from ml_platform_tests.e2e.line import Line, line_in


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--screenshots", metavar="FOLDER", help="where the browser tests save what they see")


@pytest.fixture(scope="session")
def line(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Line]:
    """From landed files to a served and monitored model, in a home of the session."""
    with line_in(tmp_path_factory.mktemp("line")) as built:
        built.run()
        yield built
