"""Whatever is killed while days come in: tables as those of undisturbed days, and no decision acted on twice."""

from pathlib import Path

import pandas as pd

from ml_platform_tests.e2e.line import Line
from ml_platform_tests.live.killed_days import following, kill_through, retrainings, rows, undisturbed
from ml_platform_tests.live.killing import Killer
from ml_platform_tests.live.live_line import LiveLine

DAYS, KILLS, SEED = 1, 4, 13
"""`python -m benchmarks.killed_week` kills 20 times in a week."""


def test_days_during_which_daemon_run_workers_and_jobs_are_killed_end_with_the_tables_of_undisturbed_ones(
    live: LiveLine, line: Line, tmp_path: Path
) -> None:
    days, killer = following(DAYS), Killer(live.deployed, SEED)
    kill_through(live, days, killer, KILLS)
    print("", *killer.told, sep="\n")
    assert len(killer.told) == KILLS
    ended = rows(live.line, days)
    for path, expected in undisturbed(line, days, tmp_path / "undisturbed").items():
        assert len(expected), f"{path} is empty"
        pd.testing.assert_frame_equal(ended[path], expected, obj="/".join(path))
    assert sorted(set(retrainings(live))) == sorted(retrainings(live))
