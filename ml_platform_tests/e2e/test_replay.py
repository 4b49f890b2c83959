"""A replay that is killed in the middle and started again ends as one that nobody disturbed."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pandas as pd
import pytest
from deltalake import DeltaTable

from ml_platform.core import keys
from ml_platform.gateways.build import build_gateways
from ml_platform.replay import state as states
from ml_platform.replay.command import replay_settings
from ml_platform_tests.e2e.line import DAILY, MONITORING, PRODUCT, REVISION

pytestmark = pytest.mark.loop

START, END = "2013-01-22", "2013-01-25"
TABLES = (*DAILY, *MONITORING)
DEADLINE = 300
STRIKES = (
    ("features/flight_delays 2013-01-23", signal.SIGKILL),
    ("monitoring/flight_delays/inference_log 2013-01-24", signal.SIGKILL),
    ("lake/flights 2013-01-25", signal.SIGINT),
)
"""What the process has just made when it is struck, and how."""


def replay(home: Path, end: str, *strike: Any) -> int:
    """Run the replay in `home`; after the run that `strike` names send its signal. The exit code."""
    command = [sys.executable, "-m", "ml_platform_tests.e2e.replayed", str(home), START, end]
    environment = os.environ | {"ML_PLATFORM_CODE_REVISION": REVISION}
    with (home.parent / f"{home.name}.log").open("ab") as log:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True, env=environment)
    assert process.stdout
    for line in process.stdout:
        if strike and strike[0] in line:
            process.send_signal(strike[1])
            break
    process.stdout.close()
    return process.wait(DEADLINE)


def content(home: Path, path: tuple[str, ...]) -> pd.DataFrame:
    frame: Any = DeltaTable(str(home.joinpath("lake", *path))).to_pandas()
    return frame.sort_values(list(frame.columns)).reset_index(drop=True)


def decisions(home: Path) -> dict[str, str]:
    """The last verdict on each day."""
    with dg.DagsterInstance.from_config(str(home / "dagster")) as instance:
        records = instance.fetch_materializations(dg.AssetKey(keys.retrain_decision(PRODUCT)), limit=1000).records
    found: dict[str, str] = {}
    for record in records:
        assert record.asset_materialization
        entries = record.asset_materialization.metadata
        found.setdefault(str(entries["as_of"].value), str(entries["verdict"].value))
    return found


@pytest.fixture(scope="module")
def homes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Path]]:
    """An undisturbed replay, and one that was struck and started again."""
    root = tmp_path_factory.mktemp("replays")
    undisturbed, struck = root / "undisturbed", root / "struck"
    try:
        assert replay(undisturbed, START) == 0
        # The first day is lived through once: it trains the model that both go on with.
        shutil.copytree(undisturbed, struck, ignore=shutil.ignore_patterns("endpoints"))
        assert replay(undisturbed, END) == 0
        for strike in STRIKES:
            assert replay(struck, END, *strike) != 0
        assert replay(struck, END) == 0
        yield undisturbed, struck
    finally:
        for home in (undisturbed, struck):
            build_gateways(replay_settings(home)).endpoints.delete(PRODUCT)


@pytest.mark.parametrize("path", TABLES, ids="/".join)
def test_every_table_of_a_struck_replay_equals_the_undisturbed_ones(
    homes: tuple[Path, Path], path: tuple[str, ...]
) -> None:
    undisturbed, struck = (content(home, path) for home in homes)
    pd.testing.assert_frame_equal(struck, undisturbed)
    assert not undisturbed.empty


def test_every_flight_of_the_replayed_days_is_answered_once(homes: tuple[Path, Path]) -> None:
    for home in homes:
        log, events = content(home, MONITORING[0]), content(home, keys.features(PRODUCT))
        replayed = events[events["day"].astype(str).between(START, END)]
        assert sorted(log["flight_id"]) == sorted(replayed["flight_id"])


def test_a_struck_replay_decides_as_the_undisturbed_one(homes: tuple[Path, Path]) -> None:
    undisturbed, struck = (decisions(home) for home in homes)
    assert struck == undisturbed
    assert END in undisturbed


def test_a_replay_that_is_done_does_nothing_and_reports_the_same(homes: tuple[Path, Path]) -> None:
    home = homes[0]
    before = json.loads((home / "report" / "report.json").read_text())
    state = states.load(home, PRODUCT, START)
    assert state.done == END
    assert replay(home, END) == 0
    after = json.loads((home / "report" / "report.json").read_text())
    assert after["periods"] == before["periods"]
    assert after["periods"][-1]["rows"] > 2000


def test_the_first_model_left_alone_scores_what_the_endpoint_answered_with_it(homes: tuple[Path, Path]) -> None:
    found = json.loads((homes[1] / "report" / "report.json").read_text())
    assert found["retrainings"]["platform"] == 0
    (pooled,) = (period for period in found["periods"] if period["name"] == "all")
    platform, static = (pooled["metrics"][arm]["log_loss"]["point"] for arm in ("platform", "first_model"))
    assert platform == pytest.approx(static, abs=1e-6)
