"""The replay's quicker look at the endpoint's log sees what the lake's own sees."""

from datetime import date, timedelta
from pathlib import Path

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
