"""Days that are dropped, scored and measured one after the other, undisturbed or while processes are killed."""

from pathlib import Path
from typing import Any

from ml_platform.core import keys
from ml_platform.core.keys import AssetPath
from ml_platform.replay.requests import replay_days
from ml_platform.stages.retraining import DECISION_TAG
from ml_platform_tests.e2e.line import COMPUTED, DAILY, MONITORING, PRODUCT, Line, copy_of
from ml_platform_tests.live.killing import Killer
from ml_platform_tests.live.live_line import TABLES, LiveLine, days_after, days_between, drop


def following(number: int) -> list[str]:
    """So many days after those that are computed."""
    return days_between(days_after(COMPUTED[1], 1), days_after(COMPUTED[1], number))


def kill_through(live: LiveLine, days: list[str], killer: Killer, kills: int) -> None:
    """Let the daemon follow each day, and kill: each day its share, one half before its flights are asked."""
    shares = [kills * (n + 1) // (2 * len(days)) - kills * n // (2 * len(days)) for n in range(2 * len(days))]
    for n, day in enumerate(days):
        live.drop(day)
        killer.kill(shares[2 * n])
        live.settled()
        live.score(day)
        killer.kill(shares[2 * n + 1])
        live.settled()


def undisturbed(line: Line, days: list[str], home: Path) -> dict[AssetPath, Any]:
    """The rows of each table, made day by day in one process on a copy of the line."""
    with copy_of(line, home) as copy:
        copy.materialise([keys.endpoint(PRODUCT)])
        reach = copy.product.monitors.performance.maturity_days + 1
        for day in days:
            drop(home, day)
            copy.materialise(DAILY, (day, day))
            replay_days(copy.gateways.lake, copy.gateways.endpoints, copy.product, day, day)
            # The days before turn final with it.
            copy.materialise(MONITORING, (days_after(day, -reach), day))
        return rows(copy, days)


def rows(line: Line, days: list[str]) -> dict[AssetPath, Any]:
    """The rows of each table on the days."""
    return {path: line.read(path, (days[0], days[-1])) for path in TABLES}


def retrainings(live: LiveLine) -> list[str]:
    """The decision of each run of training that was started and is not a retry."""
    runs = live.instance.get_runs()
    return [run.tags[DECISION_TAG] for run in runs if DECISION_TAG in run.tags and run.parent_run_id is None]
