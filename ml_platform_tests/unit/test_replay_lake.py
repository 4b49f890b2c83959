"""The replay's quicker looks at its lake see what the lake's own see."""

from datetime import date, timedelta
from pathlib import Path

import pyarrow as pa
from deltalake import write_deltalake

from dbx_jobs.contract import Days
from ml_platform.gateways.lake import Lake
from ml_platform.replay.lake import ReplayLake

ZONE = "America/New_York"


def test_each_day_that_is_written_is_seen_as_the_lake_itself_sees_it(tmp_path: Path) -> None:
    plain, quick = Lake(tmp_path.as_uri()), ReplayLake(tmp_path.as_uri())
    log = tmp_path / "modelDataCollector" / "flights" / "champion"
    assert quick.logged("flights", ZONE) == {}
    for n in range(9):
        day = date(2013, 3, 28) + timedelta(days=n)
        # The hours of a day in New York: from 04:00 UTC into the next day.
        for at in (f"{day:%Y/%m/%d}/09", f"{day:%Y/%m/%d}/23", f"{day + timedelta(days=1):%Y/%m/%d}/03"):
            for collection in ("model_inputs", "model_outputs"):
                file = log / collection / at / "host.jsonl"
                file.parent.mkdir(parents=True)
                file.write_text("{}\n" * (n + 1))
            assert quick.logged("flights", ZONE) == plain.logged("flights", ZONE)
    assert len(quick.logged("flights", ZONE)) >= 9


def test_lines_added_to_a_day_that_is_not_long_past_are_seen(tmp_path: Path) -> None:
    plain, quick = Lake(tmp_path.as_uri()), ReplayLake(tmp_path.as_uri())
    log = tmp_path / "modelDataCollector" / "flights" / "champion" / "model_outputs"
    for day in range(1, 8):
        (log / f"2013/04/{day:02d}/12").mkdir(parents=True)
        (log / f"2013/04/{day:02d}/12/host.jsonl").write_text("{}\n")
    before = quick.logged("flights", ZONE)
    (log / "2013/04/05/12/host.jsonl").write_text("{}\n{}\n")
    after = quick.logged("flights", ZONE)
    assert after["2013-04-05"] != before["2013-04-05"]
    assert after == plain.logged("flights", ZONE)


def test_files_that_land_one_after_the_other_or_again_are_seen_as_the_lake_itself_sees_them(tmp_path: Path) -> None:
    plain, quick = Lake(tmp_path.as_uri()), ReplayLake(tmp_path.as_uri())
    days = Days("2013-04-01", "2013-04-02")

    def looks(lake: Lake) -> list[dict[str, str]]:
        return [lake.landed("flights"), lake.landed("flights", days), lake.landed("planes", daily=False)]

    def land(path: str, text: str) -> None:
        target = tmp_path / "landing" / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.with_name(".part").write_text(text)
        target.with_name(".part").rename(target)

    assert looks(quick) == looks(plain) == [{}, {}, {}]
    for path, text in (
        ("planes/planes.csv", "a"),
        ("flights/2013-04-01/flights.csv", "a"),
        ("flights/2013-04-02/flights.csv", "a"),
        ("flights/2013-04-02/more.csv", "a"),
        ("flights/2013-04-01/flights.csv", "longer"),
    ):
        before = looks(quick)
        land(path, text)
        assert looks(quick) == looks(plain) != before


def test_rows_are_those_of_the_table_as_it_is_now(tmp_path: Path) -> None:
    plain, quick = Lake(tmp_path.as_uri()), ReplayLake(tmp_path.as_uri())
    key = ("monitoring", "flights", "drift")

    def write(day: int, values: list[int]) -> None:
        table = pa.table({"day": [date(2013, 4, day)] * len(values), "value": values})
        predicate = f"day = '2013-04-{day:02d}'" if quick_is_there else None
        write_deltalake(plain.table(key), table, partition_by=["day"], mode="overwrite", predicate=predicate)

    quick_is_there = False
    for day, values in ((1, [1, 2]), (3, [3]), (2, [4]), (3, [5, 6]), (1, [])):
        write(day, values)
        quick_is_there = True
        for start, end in (("2013-04-01", "2013-04-05"), ("2013-04-02", "2013-04-03"), ("2013-04-03", "2013-04-03")):
            expected = sorted((str(row["day"]), row["value"]) for row in plain.rows(key, start, end))
            assert sorted((str(row["day"]), row["value"]) for row in quick.rows(key, start, end)) == expected
        assert quick.version(key) == plain.version(key)
    assert [row["value"] for row in quick.rows(key, "2013-04-01", "2013-04-09")] == [4, 5, 6]
