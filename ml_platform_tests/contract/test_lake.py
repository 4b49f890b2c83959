"""A lake is the same on this machine and in Azure, whichever credential reaches it."""

import os
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path
from uuid import uuid4

import pyarrow as pa
import pytest
from deltalake import write_deltalake

from dbx_jobs.contract import Days
from dbx_jobs.object_store import delta_options
from ml_platform import upstream
from ml_platform.errors import LakeError
from ml_platform.gateways.lake import Lake
from ml_platform_tests.emulators.entering import become
from ml_platform_tests.emulators.lakes import CREDENTIALS, Storage

NEW_YORK = "America/New_York"

Reach = Callable[[str], Lake]
"""A new container, reached with a credential of CREDENTIALS."""


@pytest.fixture
def reach(storage: Storage, monkeypatch: pytest.MonkeyPatch) -> Iterator[Reach]:
    def reached(credential: str) -> Lake:
        become(monkeypatch, storage.environment(credential))
        return Lake(storage.lake(f"lake-{uuid4().hex}"))

    yield reached
    storage.front.clear_faults()


@pytest.fixture(params=["file", *CREDENTIALS])
def lake(request: pytest.FixtureRequest, tmp_path: Path) -> Lake:
    return Lake(tmp_path.as_uri()) if request.param == "file" else request.getfixturevalue("reach")(request.param)


def land(lake: Lake, path: str, text: str = "a") -> None:
    lake.files.write(f"landing/{path}", text.encode())


def write(lake: Lake, key: tuple[str, ...], day: str, values: list[int]) -> None:
    rows = pa.table({"day": [date.fromisoformat(day)] * len(values), "value": pa.array(values, pa.int64())})
    write_deltalake(lake.table(key), rows, partition_by=["day"], mode="append", storage_options=delta_options())


def test_what_landed_is_told_by_day_and_each_change_of_a_file_changes_just_its_day(lake: Lake) -> None:
    assert lake.landed("flights") == {}
    land(lake, "flights/2013-04-01/flights.csv")
    land(lake, "flights/2013-04-02/flights.csv")
    land(lake, "flights/2013-04-02/more.csv.gz")
    before = lake.landed("flights")
    assert set(before) == {"2013-04-01", "2013-04-02"}
    assert lake.landed("flights") == before
    land(lake, "flights/2013-04-02/more.csv.gz", "b")
    after = lake.landed("flights")
    assert after["2013-04-01"] == before["2013-04-01"]
    assert after["2013-04-02"] != before["2013-04-02"]


def test_what_is_hidden_deeper_or_in_a_folder_without_a_day_has_not_landed(lake: Lake) -> None:
    for path in ("old/2013-04-01/a.csv", "2013-04-01/.a.csv", "2013-04-01/_SUCCESS", "2013-04-01/old/a.csv", "a.csv"):
        land(lake, f"flights/{path}")
    land(lake, "flights_of_others/2013-04-01/a.csv")
    assert lake.landed("flights") == {}
    assert set(lake.landed("flights", daily=False)) == {""}


@pytest.mark.parametrize("days", [Days("2013-03-31", "2013-04-02"), Days("2013-01-02", "2013-12-30")])
def test_a_range_of_days_is_what_a_look_at_all_days_says_of_them(lake: Lake, days: Days) -> None:
    for day in ("2012-12-31", "2013-01-01", "2013-03-31", "2013-04-01", "2013-04-02", "2013-04-03", "2013-12-31"):
        land(lake, f"flights/{day}/flights.csv")
    every = lake.landed("flights")
    assert len(every) == 7
    found = lake.landed("flights", days)
    assert found == {day: digest for day, digest in every.items() if days.start <= day <= days.end}
    assert len(found) >= 3


def test_a_snapshot_source_is_the_files_right_in_its_folder(lake: Lake) -> None:
    assert lake.landed("planes", daily=False) == {}
    land(lake, "planes/planes.csv")
    before = lake.landed("planes", daily=False)
    land(lake, "planes/old/planes.csv")
    assert lake.landed("planes", daily=False) == before != {}


def test_a_text_is_read_as_it_was_last_written_and_one_that_is_not_there_is_named(lake: Lake) -> None:
    for text in ("first", "second, und länger", ""):
        lake.write_text("state/decisions/2013.json", text)
        assert lake.read_text("state/decisions/2013.json") == text
    with pytest.raises(LakeError, match="There is no state/none.json"):
        lake.read_text("state/none.json")


def test_a_table_gives_its_version_and_the_rows_of_the_days_asked_for(lake: Lake) -> None:
    key = ("monitoring", "flights", "drift")
    with pytest.raises(LakeError, match="materialise monitoring/flights/drift first"):
        lake.version(key)
    for n, day in enumerate(("2013-04-01", "2013-04-02", "2013-04-03")):
        write(lake, key, day, [n, n])
    assert lake.version(key) == 2
    assert sorted(row["value"] for row in lake.rows(key, "2013-04-02", "2013-04-03")) == [1, 1, 2, 2]


def test_the_log_of_an_endpoint_is_told_by_the_days_of_its_zone(lake: Lake) -> None:
    for collection, hour in (("model_inputs", "2013/04/02/03"), ("model_outputs", "2013/04/02/12")):
        lake.files.write(f"modelDataCollector/flights/blue/{collection}/{hour}/a.jsonl", b"{}\n")
    lake.files.write("modelDataCollector/flights/blue/model_outputs/2013/04/02/12/a.jsonl.part", b"{")
    lake.files.write("modelDataCollector/others/blue/model_outputs/2013/04/05/12/a.jsonl", b"{}\n")
    before = lake.logged("flights", NEW_YORK)
    assert set(before) == {"2013-04-01", "2013-04-02"}, "23:00 in New York, which is the next day in UTC"
    lake.files.write("modelDataCollector/flights/blue/model_outputs/2013/04/02/12/a.jsonl", b"{}\n{}\n")
    after = lake.logged("flights", NEW_YORK)
    assert after["2013-04-01"] == before["2013-04-01"]
    assert after["2013-04-02"] != before["2013-04-02"]


def test_days_land_once_and_those_that_are_missing_later(lake: Lake) -> None:
    first, last = date(2013, 1, 1), date(2013, 1, 2)
    assert upstream.land(lake.uri, first, first) == 5
    before = lake.landed("flights")
    upstream.land(lake.uri, first, first)
    assert lake.landed("flights") == before, "the same content is not written again"
    assert upstream.land_missing(lake.uri, first, last) == 2
    content = lake.files.read("landing/flights/2013-01-02/flights.csv")
    assert content is not None
    assert content.startswith(b"year,month,dayofmonth,") and content.count(b"\n") == 944
    upstream.correct(lake.uri, last)
    upstream.spoil(lake.uri, first)
    after = lake.landed("flights")
    assert set(after) == {"2013-01-01", "2013-01-02"} and after["2013-01-01"] != before["2013-01-01"]


def test_a_range_of_days_is_listed_in_one_call(reach: Reach, storage: Storage) -> None:
    lake = reach("key")
    for day in range(1, 31):
        land(lake, f"flights/2013-03-{day:02d}/flights.csv")
        land(lake, f"flights/2013-04-{day:02d}/flights.csv")
    storage.front.clear()
    assert len(lake.landed("flights", Days("2013-03-25", "2013-04-05"))) == 11
    assert len(lake.landed("flights")) == 60
    assert [call["method"] for call in storage.front.record()["calls"]] == ["GET", "GET"]


@pytest.mark.parametrize("kind", ["throttle", "unavailable", "error", "drop"])
@pytest.mark.parametrize("credential", ["key", "identity"])
def test_what_fails_for_a_moment_is_tried_again(reach: Reach, storage: Storage, credential: str, kind: str) -> None:
    lake, key = reach(credential), ("lake", "flights")
    for work in (
        lambda: lake.write_text("state.json", "kept"),
        lambda: lake.files.listed(""),
        lambda: write(lake, key, "2013-04-01", [1]),
        lambda: lake.rows(key, "2013-04-01", "2013-04-01"),
    ):
        storage.front.fault(kind, count=2)
        work()
        assert storage.front.faults_left() == []
    assert lake.read_text("state.json") == "kept"
    assert lake.version(key) == 0


def test_a_container_that_is_not_there_is_named_with_what_to_do(reach: Reach) -> None:
    lake = Lake(reach("key").uri.replace("lake-", "nolake-"))
    for work in (lambda: lake.landed("flights"), lambda: lake.write_text("a", "b"), lambda: lake.read_text("a")):
        with pytest.raises(LakeError, match="nolake-.*ContainerNotFound: create the container"):
            work()


def test_a_credential_that_is_not_right_is_told_with_what_to_do_and_without_its_secret(
    reach: Reach, storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    lake = reach("sas")
    lake.write_text("a", "b")
    signature = os.environ["AZURE_STORAGE_SAS_TOKEN"].partition("sig=")[2]
    monkeypatch.setenv("AZURE_STORAGE_SAS_TOKEN", os.environ["AZURE_STORAGE_SAS_TOKEN"].replace("sig=", "sig=x"))
    denied = Lake(lake.uri)
    for work in (lambda: denied.landed("flights"), lambda: denied.write_text("a", "b"), lambda: denied.read_text("a")):
        with pytest.raises(LakeError, match="needs the role Storage Blob Data Contributor") as told:
            work()
        assert signature not in f"{told.value!r} {told.value.__cause__!r} {told.value.__cause__}"
    with pytest.raises(LakeError, match="cannot be read") as told:
        denied.version(("lake", "flights"))
    assert signature not in f"{told.value!r} {told.value.__cause__!r}"


def test_a_managed_identity_without_a_token_is_told_with_what_to_do(
    reach: Reach, monkeypatch: pytest.MonkeyPatch
) -> None:
    lake = reach("identity")
    monkeypatch.setenv("IDENTITY_HEADER", "wrong")
    with pytest.raises(LakeError, match="no token was given: this identity needs the role"):
        lake.landed("flights")


def test_a_lake_is_on_this_machine_or_in_azure() -> None:
    for uri in ("s3://bucket/lake", "/lake", "abfss://container/lake"):
        with pytest.raises(LakeError, match="give"):
            Lake(uri).landed("flights")
