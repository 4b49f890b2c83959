"""What the unit tests of the scoring contract share."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from ml_platform_tests.serving_directories import write_serving_directory
from ml_platform_tests.unit.scoring_host import client_of, declare


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("endpoint")
    declare(directory, write_serving_directory(directory / "serving"))
    return directory


@pytest.fixture(scope="module")
def client(endpoint: Path) -> Iterator[TestClient]:
    with client_of(endpoint) as client:
        yield client
