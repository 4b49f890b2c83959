"""What all tests share: which stay together; the whole line, run once on real flights; a storage account."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ml_platform_tests.e2e.line import Line, line_in
from ml_platform_tests.emulators.lakes import Storage, loopback_storage
from ml_platform_tests.emulators.process import Cloud
from ml_platform_tests.emulators.specs import specs_folder


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--screenshots", metavar="FOLDER", help="where the browser tests save what they see")
    parser.addoption("--write-golden", action="store_true", help="write the lists of calls instead of comparing them")


def pytest_report_header() -> str:
    folder = specs_folder()
    state = (
        f"held against the published contracts in {folder}" if folder else "not checked, ML_PLATFORM_SPECS is not set"
    )
    return f"bodies of Azure and Databricks calls: {state}"


TOGETHER = {"browser": "line", "e2e": "line", "jobs": "jobs", "training": "training"}
"""What the tests of a folder share takes long to make, so one process runs them; others go by their file."""


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Let several processes share the tests by what stays together.

    Not by xdist's own groups: xdist 3.8 writes them where pytest 9.2 does not look, and then has none, silently.
    """
    from xdist.scheduler import LoadScopeScheduling

    class Together(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = nodeid.split("::")[0]
            return TOGETHER.get(Path(file).parts[1], file)

    return Together(config, log)


@pytest.fixture(scope="session")
def line(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Line]:
    """From landed files to a served and monitored model, in a home of the session."""
    with line_in(tmp_path_factory.mktemp("line")) as built:
        built.run()
        yield built


@pytest.fixture(scope="session")
def storage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Storage]:
    """Azurite behind a front that can fail."""
    with loopback_storage(Cloud(tmp_path_factory.mktemp("storage"))) as account:
        yield account
