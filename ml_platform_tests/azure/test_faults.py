"""Whatever fails for a moment on the way of the lake's tables, they end the same and nothing is submitted twice."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date

import pytest

from ml_platform.core import keys
from ml_platform.core.keys import AssetPath
from ml_platform.errors import JobError, PlatformError
from ml_platform.upstream import SNAPSHOTS, correct, land
from ml_platform_tests.azure.deployment import Deployment, deployment, entered
from ml_platform_tests.azure.line import kept_in_the_cloud
from ml_platform_tests.e2e.kept_line import KeptLine
from ml_platform_tests.e2e.line import DAILY
from ml_platform_tests.emulators.faults import PASSING
from ml_platform_tests.emulators.process import Emulator

DAYS = ("2013-01-01", "2013-01-02")
SPARK, STORAGE = "databricks", "storage"
LAKE = "/devstoreaccount1/lake/"
CALLS = [
    (SPARK, "POST", "/runs/submit$"),
    (SPARK, "GET", "/runs/get$"),
    (SPARK, "GET", "/runs/get-output$"),
    (SPARK, "PUT", "/fs/files/"),
    (SPARK, "GET", "/fs/files/"),
    (STORAGE, "GET", LAKE),
    (STORAGE, "PUT", LAKE),
]
USUAL = [(SPARK, "POST", "/runs/submit$", "drop_answer"), (STORAGE, "PUT", LAKE, "unavailable")]
"""Those of every day; the others are in the closed loop's tests."""
OTHERS = [(*call, kind) for call in CALLS for kind in PASSING if (*call, kind) not in USUAL]


@dataclass
class Tables:
    """The daily tables of two days, made of the files as they landed first and as they were corrected."""

    cloud: Deployment
    kept: KeptLine
    corrected: bool = False
    known: dict[bool, dict[AssetPath, dict[str, str]]] = field(default_factory=dict)
    """The version of the content of each day, by whether the files are `corrected`."""

    def land(self, corrected: bool) -> None:
        """Have the files lie there, as they were or corrected: a table is written where its content changes."""
        lake, (first, last) = self.kept.line.settings.lake_uri, (date.fromisoformat(day) for day in DAYS)
        if corrected:
            correct(lake, first)
        else:
            land(lake, first, last)
        self.corrected = corrected

    def make(self) -> None:
        """Make them, again or not: one run of Databricks each."""
        self.kept.line.materialise(DAILY, DAYS)

    def contents(self) -> dict[AssetPath, dict[str, str]]:
        """The version of the content of each day."""
        return {path: self.kept.contents(path) for path in DAILY}

    def emulator(self, name: str) -> Emulator:
        return next(each for each in self.cloud.emulators if each.name == name)

    def submitted(self) -> int:
        """The runs that Databricks was asked for."""
        return len(self.cloud.spark.runs())


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tables]:
    folder = tmp_path_factory.mktemp("faults") / "cloud"
    with deployment(folder) as cloud, entered(cloud), kept_in_the_cloud() as kept:
        tables = Tables(cloud, kept)
        tables.land(corrected=False)
        kept.line.materialise([keys.lake(source) for source in SNAPSHOTS])
        for corrected in (False, True):
            tables.land(corrected)
            tables.make()
            tables.known[corrected] = tables.contents()
        assert tables.known[False] != tables.known[True]
        yield tables


@pytest.fixture
def tables(made: Tables) -> Iterator[Tables]:
    yield made
    for emulator in made.cloud.emulators:
        emulator.clear_faults()


def _passes(tables: Tables, name: str, method: str, path: str, kind: str) -> None:
    submitted, emulator = tables.submitted(), tables.emulator(name)
    tables.land(not tables.corrected)
    emulator.fault(kind, method, path, count=2, seconds=1)
    tables.make()
    assert not emulator.faults_left()
    assert tables.contents() == tables.known[tables.corrected]
    assert tables.submitted() == submitted + len(DAILY)


@pytest.mark.parametrize(("name", "method", "path", "kind"), USUAL)
def test_what_fails_for_a_moment_changes_no_table_and_submits_nothing_twice(
    tables: Tables, name: str, method: str, path: str, kind: str
):
    _passes(tables, name, method, path, kind)


@pytest.mark.loop
@pytest.mark.parametrize(("name", "method", "path", "kind"), OTHERS)
def test_whatever_fails_for_a_moment_changes_no_table_and_submits_nothing_twice(
    tables: Tables, name: str, method: str, path: str, kind: str
):
    _passes(tables, name, method, path, kind)


def test_a_refusal_that_stays_is_one_error_that_names_the_workspace_and_the_remedy(tables: Tables):
    tables.emulator(SPARK).fault("forbidden", "POST", "/runs/submit$", count=1000)
    with pytest.raises(JobError, match=rf"Databricks at {tables.cloud.spark.emulator.address} refused.*See to it that"):
        tables.make()


def test_a_lake_that_refuses_is_one_error_that_names_the_lake_and_the_remedy(tables: Tables):
    tables.emulator(STORAGE).fault("forbidden", path=LAKE.rstrip("/"), count=100_000)
    with pytest.raises(PlatformError, match=tables.cloud.lake):
        tables.kept.line.gateways.lake.landed("flights")


def test_a_machine_that_is_lost_is_an_error_that_a_retry_mends(tables: Tables):
    tables.land(not tables.corrected)
    tables.cloud.spark.change(lose=1)
    with pytest.raises(JobError, match="CLOUD_FAILURE"):
        tables.make()
    tables.make()
    assert tables.contents() == tables.known[tables.corrected]
