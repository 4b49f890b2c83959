"""A transformation that is told the days asked for computes less, and nothing else."""

from datetime import timedelta
from pathlib import Path

import pyarrow.compute as pc
import pytest
from pyspark.sql import DataFrame, SparkSession

from dbx_jobs.contract import Days
from dbx_jobs.products.flight_delays import transform
from dbx_jobs.shapes import Asks, Spell, active_sums
from dbx_jobs.transform import load_transform
from ml_platform_tests.jobs import nyc

LOOK_BACK = timedelta(days=9)


@pytest.mark.parametrize(("start", "end"), [("2013-07-10", "2013-07-10"), ("2013-11-03", "2013-11-04")])
def test_flights_of_other_days_are_left_out_and_change_no_flight_asked_for(
    sail: SparkSession, tmp_path: Path, start: str, end: str
):
    days = nyc.days(start, end)
    read = [days[0] - timedelta(days=n) for n in range(LOOK_BACK.days, 0, -1)] + days
    nyc.write({source: nyc.some_days(source, read) for source in nyc.SOURCES}, tmp_path)
    sources = {name: sail.read.parquet(str(tmp_path / f"{name}.parquet")) for name in nyc.SOURCES}
    told = transform(sources, days=Days(start, end)).toArrow().sort_by("flight_id")
    every = transform(sources).toArrow().sort_by("flight_id")
    assert told.num_rows > 0
    assert told.equals(every.filter(pc.field("day").isin(days)))


def test_a_spell_counts_until_its_end_also_where_it_began_before_anyone_asked(sail: SparkSession):
    rows = sail.createDataFrame([("a", 10, 0), ("b", 20, 5), ("c", 30, 20)], "id string, at long, begun long")
    spells = [Spell("begun", "begun + 16", {"running": "1"})]
    asks = Asks("at >= 20", since=20)
    sums = active_sums(rows, key=(), row_id="id", at="at", spells=spells, asks=asks).collect()
    # At 20 the spell from 5 to 21 runs, and the one that begins then; that from 0 to 16 is over.
    assert sorted(map(tuple, sums)) == [("b", 2), ("c", 1)]


def test_a_module_is_told_only_what_it_takes(sail: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "plain.py").write_text("def transform(sources):\n    return sources['t']\n")
    (tmp_path / "keeping.py").write_text("def transform(sources, keep):\n    return keep(sources['t'])\n")
    monkeypatch.syspath_prepend(tmp_path)
    kept: list[DataFrame] = []

    def keep(frame: DataFrame) -> DataFrame:
        kept.append(frame)
        return frame

    table, days = sail.range(1), Days("2013-01-01", "2013-01-01")
    for module in ("plain", "keeping"):
        assert load_transform(sail, f"python:{module}").apply({"t": table}, days, keep) is table
    assert kept == [table]
