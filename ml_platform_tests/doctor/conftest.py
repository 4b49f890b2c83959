"""One loopback cloud for all tests of the doctor: each puts back what it changes."""

from collections.abc import Iterator

import pytest

from ml_platform_tests.doctor.loopback import Loopback, loopback


@pytest.fixture(scope="package")
def shared_cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Loopback]:
    with loopback(tmp_path_factory.mktemp("cloud")) as cloud:
        yield cloud


@pytest.fixture
def cloud(shared_cloud: Loopback) -> Iterator[Loopback]:
    yield shared_cloud
    shared_cloud.arm.clear_faults()
    shared_cloud.arm.assert_clean()
