"""Kill daemon, run workers and jobs at twenty random moments of a live week, and compare it with an undisturbed one.

`python -m benchmarks.killed_week [SEED]`; exits 1 when a table differs or a decision was acted on twice.
"""

import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from ml_platform_tests.e2e.line import line_in
from ml_platform_tests.live.killed_days import following, kill_through, retrainings, rows, undisturbed
from ml_platform_tests.live.killing import Killer
from ml_platform_tests.live.live_line import Stopwatch, live_copy_of

DAYS, KILLS, SEED = 7, 20, 13


def run(seed: int, root: Path) -> bool:
    """Run both weeks and print how they compare; whether they are equal."""
    console, days = Console(highlight=False), following(DAYS)
    with line_in(root / "line") as line:
        line.run()
        with live_copy_of(line, root / "live") as live:
            watch, killer = Stopwatch(), Killer(live.deployed, seed)
            kill_through(live, days, killer, KILLS)
            console.print(f"{DAYS} days, {len(killer.told)} kills, {watch}")
            ended, acted = rows(live.line, days), Counter(retrainings(live))
        watch = Stopwatch()
        expected = undisturbed(line, days, root / "undisturbed")
        console.print(f"{DAYS} undisturbed days, {watch}")
    for number, told in enumerate(killer.told, start=1):
        console.print(f"{number:3} {told}")
    differing = {path: differences(ended[path], expected[path]) for path in expected}
    table = Table("table", "rows", "as undisturbed")
    for path, found in differing.items():
        table.add_row("/".join(path), str(len(expected[path])), found or "yes")
    console.print(table)
    console.print(f"decisions acted on: {len(acted)}, twice: {sum(n > 1 for n in acted.values())}")
    return not any(differing.values()) and all(n == 1 for n in acted.values())


def differences(ended: Any, expected: Any) -> str:
    """In which columns two frames differ, and in how many rows; empty when they are equal."""
    if ended.equals(expected):
        return ""
    if len(ended) != len(expected):
        return f"NO: {len(ended)} rows"
    columns = {name: int((~ended[name].eq(expected[name]) & ended[name].notna()).sum()) for name in expected}
    return "NO: " + ", ".join(f"{name} in {rows}" for name, rows in columns.items() if rows)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="killed_week_") as folder:
        raise SystemExit(0 if run(int(sys.argv[1]) if sys.argv[1:] else SEED, Path(folder)) else 1)
