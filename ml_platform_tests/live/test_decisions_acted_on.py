"""Each decision to retrain starts one run of training and roll-out, whatever is killed while it does."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict

import dagster as dg
import pytest

from ml_platform.core import keys
from ml_platform.core.observations import PastDecision
from ml_platform.settings import Settings
from ml_platform.stages.retraining import DECISION_TAG
from ml_platform_tests.e2e.line import PRODUCT
from ml_platform_tests.live.deployment import Deployment, deployment, eventually
from ml_platform_tests.live.killing import Killer

DECISIONS = 4
KILLS_OF_A_DECISION = 2
SECONDS = 300
"""A run whose launch was cut short by the daemon's death is given up after a minute, and then started again."""


@pytest.fixture(scope="module")
def deciding(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    settings = Settings(home=tmp_path_factory.mktemp("deciding"), code_revision="test")
    with deployment(settings, "ml_platform_tests.live.deciding_location") as deployed:
        yield deployed


def decide(deciding: Deployment, history: list[PastDecision]) -> None:
    """What the decision's asset records."""
    metadata = {"verdict": history[-1].verdict, "history": [asdict(past) for past in history]}
    decision = dg.AssetMaterialization(keys.retrain_decision(PRODUCT), metadata=metadata)
    deciding.instance.report_runless_asset_event(decision)


def test_no_decision_is_acted_on_twice_and_none_is_lost_while_daemon_and_run_workers_are_killed(
    deciding: Deployment,
) -> None:
    history = [PastDecision(f"decision{n}", f"2013-02-{n + 1:02}", "retrain") for n in range(DECISIONS)]
    killer = Killer(deciding, seed=5, kinds=("daemon", "worker"), patience=10)
    for n in range(DECISIONS):
        decide(deciding, history[: n + 1])
        killer.kill(KILLS_OF_A_DECISION)
    asked = {past.id for past in history}
    eventually(lambda: acted_on(deciding) == asked, "every decision is acted on", SECONDS)
    eventually(lambda: all(run.is_finished for run in deciding.instance.get_runs()), "nothing is underway", SECONDS)
    roots = Counter(run.tags[DECISION_TAG] for run in deciding.instance.get_runs() if run.parent_run_id is None)
    assert roots == Counter(asked)
    windows = {f"train until {past.day[:-2]}{int(past.day[-2:]) - 1:02} {past.id}" for past in history[1:]}
    assert windows <= notes(deciding)
    assert killer.told


def acted_on(deciding: Deployment) -> set[str]:
    """The decisions that came to their last step. One that is killed after it has nothing left to do again."""
    return {note.removeprefix("roll out ") for note in notes(deciding) if note.startswith("roll out ")}


def notes(deciding: Deployment) -> set[str]:
    """What the steps of all runs noted."""
    file = deciding.settings.home / "notes" / "notes"
    return set(file.read_text().splitlines()) if file.exists() else set()
