"""The whole loop, lake to retraining, runs on the Azure configuration and ends as it does on a laptop."""

import dagster as dg
import pytest

from ml_platform.core import keys
from ml_platform.stages.attempts import contents
from ml_platform_tests.azure.failing_once import golden
from ml_platform_tests.azure.walk import CORRECTED, FLOWS, LAST, Walk
from ml_platform_tests.e2e.kept_line import TABLES
from ml_platform_tests.e2e.line import PRODUCT, Line


@pytest.mark.parametrize("path", TABLES, ids="/".join)
def test_a_table_has_the_content_that_it_has_on_a_laptop(walk: Walk, line: Line, path: keys.AssetPath):
    assert walk.contents[path] == contents(line.instance, dg.AssetKey(path))


def test_every_call_is_one_that_the_services_know_and_take(walk: Walk):
    for emulator in walk.cloud.emulators:
        emulator.assert_clean()


@pytest.mark.parametrize("flow", FLOWS)
def test_a_flow_makes_the_calls_that_were_written_down(walk: Walk, flow: str, request: pytest.FixtureRequest):
    """After an upgrade of an SDK: look at the difference, then `pytest ml_platform_tests/azure --write-golden`."""
    file, calls = golden(flow), "".join(f"{call}\n" for call in walk.calls[flow])
    if request.config.getoption("--write-golden"):
        file.write_text(calls)
    assert calls == file.read_text()


def test_the_first_model_answers_at_a_managed_endpoint(walk: Walk):
    assert walk.first and walk.first.serving
    assert (walk.first.status, walk.first.serving.model_version) == ("serving", "1")


def test_what_was_done_by_hand_stands_once_the_sensors_look(walk: Walk):
    made = [(run.assets, run.partitions) for run in walk.settled]
    assert all(run.success for run in walk.settled)
    assert (("lake/flights",), "2013-02-08") in made
    assert not [each for each in made if each[0] == ("lake/flights",) and each[1] != "2013-02-08"]


def test_a_decision_to_retrain_trains_a_second_version_and_rolls_it_out(walk: Walk):
    [training] = [run for run in walk.retrained if run.job == f"retrain_{PRODUCT}"]
    assert training.success
    assert walk.last and walk.last.serving
    assert (walk.last.status, walk.last.serving.model_version) == ("serving", "2")
    assert walk.last.settled


def test_a_correction_makes_exactly_its_dependents_again(walk: Walk):
    made = {run.assets[0]: run.partitions for run in walk.corrected}
    monitored = ("ground_truth", "performance", "retrain_decision")
    names = [*(f"monitoring/{PRODUCT}/{table}" for table in monitored), f"features/{PRODUCT}_online"]
    assert set(made) == {"lake/flights", f"features/{PRODUCT}", *names}
    assert len(walk.corrected) == len(made)
    assert made["lake/flights"] == made[f"monitoring/{PRODUCT}/performance"] == CORRECTED
    assert made[f"features/{PRODUCT}"] == f"{CORRECTED} to {LAST}"


def test_no_secret_stands_in_anything_that_was_written(walk: Walk):
    assert walk.secrets_found == []


def test_no_secret_stood_in_a_process_list(walk: Walk):
    shown = [line for line in walk.shown for secret in walk.cloud.secrets().values() if secret in line]
    assert shown == []
    assert any("ml_platform.training.train" in line for line in walk.shown)
