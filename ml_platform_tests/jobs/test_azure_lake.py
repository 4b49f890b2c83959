"""The jobs leave the same tables in Azure as on this machine: disturbed, killed and raced too."""

import os
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from uuid import uuid4

import pyarrow as pa
import pytest
from deltalake import CommitProperties, DeltaTable, write_deltalake
from pyspark.sql import SparkSession

from dbx_jobs.contract import Days, FeaturesRequest, Roles, TableInput
from dbx_jobs.delta import read_table, table_version, write_partitions
from dbx_jobs.jobs.build_features import build_features
from dbx_jobs.jobs.ingest import ingest
from dbx_jobs.object_store import delta_options
from ml_platform_tests.emulators.entering import alone, become
from ml_platform_tests.emulators.lakes import Storage
from ml_platform_tests.jobs import nyc
from ml_platform_tests.jobs.killed import run_program
from ml_platform_tests.jobs.landed import Lake, flights, real_day
from ml_platform_tests.jobs.sail_server import sail_server
from ml_platform_tests.jobs.stored import StoredLake

pytestmark = pytest.mark.cloud

MONDAY, TUESDAY = "2013-01-07", "2013-01-08"
ROLES = Roles(["flight_id"], "sched_dep_at", "prediction_time", "delayed")
DEADLINE = 120


@pytest.fixture
def stored(storage: Storage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[StoredLake]:
    """An empty container and, in the environment, the key of its account."""
    become(monkeypatch, storage.environment("key"))
    yield StoredLake(tmp_path / "stored", storage.lake(f"jobs-{uuid4().hex}"))
    storage.front.clear_faults()


@pytest.fixture
def local(tmp_path: Path) -> Lake:
    return Lake(tmp_path / "local")


def land(lake: Lake) -> None:
    """Two real days, one broken line among them, and the snapshots as tables."""
    for day in (MONDAY, TUESDAY):
        for source in ("flights", "weather"):
            lake.land(source, day, real_day(source, day))
    lake.land("flights", TUESDAY, flights(TUESDAY, {"flight": "x"}), "more.csv.gz")


def ingest_all(spark: SparkSession, lake: Lake) -> None:
    for source in ("flights", "weather"):
        ingest(spark, lake.request(source, MONDAY, TUESDAY))


def same_tables(spark: SparkSession, one: Lake, other: Lake, *names: str) -> None:
    for name in names:
        assert one.rows(spark, name) == other.rows(spark, name) != [], name


def features(lake: Lake) -> FeaturesRequest:
    sources = {n: TableInput(lake.uri(f"lake/{n}"), daily=n in ("flights", "weather")) for n in nyc.SOURCES}
    transform = "python:dbx_jobs.products.flight_delays"
    days, key = Days(MONDAY, TUESDAY), ROLES.primary_key
    return FeaturesRequest("demo", transform, sources, lake.uri("features/demo"), days, key, ROLES.event_time, 9)


def test_ingest_and_features_give_the_same_tables_as_on_this_machine(
    sail: SparkSession, stored: StoredLake, local: Lake
) -> None:
    for lake in (stored, local):
        land(lake)
        ingest_all(sail, lake)
        for name in ("planes", "airports", "airlines"):
            write_deltalake(lake.uri(f"lake/{name}"), nyc.table(name), storage_options=delta_options())
        first, again = build_features(sail, features(lake)), build_features(sail, features(lake))
        assert [p.rows for p in first.partitions] == [933, 899]
        assert not any(p.changed for p in again.partitions) and again.table_version == first.table_version
    same_tables(sail, stored, local, "lake/flights", "lake/weather", "quarantine/flights", "features/demo")


def test_a_server_of_spark_beside_the_job_writes_and_reads_the_lake_with_an_identity(
    sail: SparkSession, stored: StoredLake, storage: Storage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    uri = stored.uri("lake/events")
    with sail_server(alone(storage.environment("identity")), tmp_path / "sail.log") as address:
        monkeypatch.setenv("SPARK_REMOTE", address)
        remote = SparkSession.builder.remote(address).create()
        for versions in (1, 2):
            events = remote.sql(f"SELECT {versions} AS n, explode(array(DATE'{MONDAY}', DATE'{TUESDAY}')) AS day")
            written = write_partitions(remote, events, uri, [MONDAY, TUESDAY])
            assert (written.version, [p.changed for p in written.partitions]) == (versions, [True, True])
        remote.stop()
        monkeypatch.delenv("SPARK_REMOTE")
    assert [row["n"] for row in read_table(sail, uri).collect()] == [2, 2]


@pytest.mark.parametrize("kind", ["throttle", "unavailable", "error", "drop"])
def test_what_fails_for_a_moment_is_survived(
    sail: SparkSession, stored: StoredLake, local: Lake, storage: Storage, kind: str
) -> None:
    for lake in (stored, local):
        land(lake)
    for method, path in (("GET", r"/landing/"), ("GET", r"_delta_log"), ("PUT", r"\.parquet"), ("PUT", r"_delta_log")):
        storage.front.fault(kind, method=method, path=path, count=2)
    for lake in (stored, local):
        ingest_all(sail, lake)
    assert storage.front.faults_left() == []
    same_tables(sail, stored, local, "lake/flights", "lake/weather", "quarantine/flights")


def test_a_commit_whose_answer_was_lost_is_in_the_table_and_its_rows_are_there_once(
    sail: SparkSession, stored: StoredLake, local: Lake, storage: Storage
) -> None:
    for lake in (stored, local):
        land(lake)
    for version in (0, 1):
        storage.front.fault("drop_answer", method="PUT", path=rf"lake/flights/_delta_log/0+{version}\.json")
    for lake in (stored, local):
        ingest(sail, lake.request("flights", MONDAY, TUESDAY))
    assert storage.front.faults_left() == []
    same_tables(sail, stored, local, "lake/flights", "quarantine/flights")
    again = ingest(sail, stored.request("flights", MONDAY, TUESDAY))
    assert not any(p.changed for p in again.partitions)


def test_runs_of_different_days_at_once_all_commit(
    sail: SparkSession, stored: StoredLake, local: Lake, tmp_path: Path
) -> None:
    days = [f"2013-01-{day:02d}" for day in range(1, 5)]
    for lake in (stored, local):
        for day in days:
            lake.land("flights", day, real_day("flights", day))
    runs = [run_program("dbx_jobs.jobs.ingest", stored.request("flights", day, day), tmp_path / day) for day in days]
    assert [run.wait(DEADLINE) for run in runs] == [0] * len(days)
    ingest(sail, local.request("flights", days[0], days[-1]))
    same_tables(sail, stored, local, "lake/flights")
    assert table_version(sail, stored.uri("lake/flights")) == len(days)


def test_appends_at_once_are_each_a_version(stored: StoredLake) -> None:
    uri, writers, times, patient = stored.uri("lake/appended"), 6, 4, CommitProperties(max_commit_retries=100)
    write_deltalake(uri, pa.table({"n": pa.array([], pa.int64())}), storage_options=delta_options())

    def append(writer: int) -> None:
        for n in range(times):
            rows = pa.table({"n": pa.array([writer * times + n], pa.int64())})
            write_deltalake(uri, rows, mode="append", storage_options=delta_options(), commit_properties=patient)

    with ThreadPoolExecutor(writers) as pool:
        list(pool.map(append, range(writers)))
    table = DeltaTable(uri, storage_options=delta_options())
    assert table.version() == writers * times
    assert sorted(table.to_pyarrow_table()["n"].to_pylist()) == list(range(writers * times))


def test_killed_at_any_point_and_run_again_it_leaves_the_tables_of_an_undisturbed_run(
    sail: SparkSession, stored: StoredLake, local: Lake, storage: Storage, tmp_path: Path
) -> None:
    days = [f"2013-01-{day:02d}" for day in range(1, 13)]
    for lake in (stored, local):
        for day in days:
            lake.land("flights", day, real_day("flights", day))
            lake.land("flights", day, flights(day, {"flight": "x"}), "more.csv")
    request, killed = stored.request("flights", days[0], days[-1]), 0
    for puts in (1, 4, 8, 13, 17):
        storage.front.clear()
        process = run_program("dbx_jobs.jobs.ingest", request, tmp_path / f"killed{puts}")
        deadline = time.monotonic() + DEADLINE
        while process.poll() is None and _written(storage) < puts:
            assert time.monotonic() < deadline, f"it neither ended nor wrote {puts} files"
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            killed += 1
        process.wait(DEADLINE)
        _whole(stored, "lake/flights")
    assert killed >= 3
    ingest(sail, request)
    ingest(sail, local.request("flights", days[0], days[-1]))
    same_tables(sail, stored, local, "lake/flights", "quarantine/flights")


def _written(storage: Storage) -> int:
    return sum(call["method"] == "PUT" for call in storage.front.record()["calls"])


def _whole(lake: StoredLake, name: str) -> None:
    """Whatever is there is a table, all of whose files can be read."""
    uri = lake.uri(name)
    if DeltaTable.is_deltatable(uri, delta_options()):
        DeltaTable(uri, storage_options=delta_options()).to_pyarrow_table()
