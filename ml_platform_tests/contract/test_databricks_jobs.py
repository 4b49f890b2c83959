"""A program on Databricks is submitted once, however often its step dies; it ends in time, and when it is cancelled."""

import json
import threading
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import psutil
import pytest
from dagster._core.storage.tags import RETRY_ON_ASSET_OR_OP_FAILURE_TAG

from ml_platform.errors import JobError
from ml_platform_tests.contract.killed_line import KilledLine, interrupted, said
from ml_platform_tests.contract.place import Place, until
from ml_platform_tests.emulators.databricks.started import Databricks

pytestmark = pytest.mark.cloud

SUBMIT = "runs/submit$"


class Line(KilledLine):
    """Runs `databricks_line`."""

    def __init__(self, workspace: Databricks, folder: Path, way: str) -> None:
        super().__init__(folder, way, "databricks_line", workspace.emulator.address, workspace.volume)
        self._workspace, self._before = workspace, {run["run_id"] for run in workspace.runs()}

    def killed_alone(self) -> str:
        """As `killed`, but only the step's own process is: Dagster sees it and says that the step failed."""
        with self.started(ALONE="yes") as process:
            until(lambda: said(self.word))
            for child in psutil.Process(process.pid).children():
                if "spawn_main" in " ".join(child.cmdline()):
                    child.kill()
            assert process.wait(60) != 0
        return self.last()

    def remote(self) -> list[dict[str, Any]]:
        """The runs of Databricks that it has started."""
        return [run for run in self._workspace.runs() if run["run_id"] not in self._before]

    def claims(self) -> list[Path]:
        """The files in which it is written which run answers."""
        return list(Path(self._workspace.volume, "pipes").glob("*/*/run.json"))


@pytest.fixture
def line(workspace: Databricks, tmp_path: Path) -> Line:
    return Line(workspace, tmp_path, "works_until_told")


def test_a_run_whose_step_was_killed_is_found_again_while_it_works(line: Line):
    again, program = line.killed(), line.word.read_text()
    line.tell()
    assert line.run(again) == (True, {"process": int(program)})
    assert len(line.remote()) == 1


def test_a_run_whose_step_was_killed_is_found_again_once_it_has_ended(line: Line):
    again, program = line.killed(), line.word.read_text()
    line.tell()
    until(lambda: line.remote()[0]["state"]["life_cycle_state"] == "TERMINATED")
    assert line.run(again) == (True, {"process": int(program)})
    assert len(line.remote()) == 1


def test_a_run_whose_step_was_killed_before_it_wrote_down_which_it_is_is_found_by_its_token(line: Line):
    before = set(line.claims())
    again, program = line.killed(), line.word.read_text()
    for claim in set(line.claims()) - before:
        claim.unlink()
    line.tell()
    assert line.run(again) == (True, {"process": int(program)})
    assert len(line.remote()) == 1


def test_a_run_whose_step_lost_its_process_is_found_again_though_dagster_says_that_the_step_failed(line: Line):
    again, program = line.killed_alone(), line.word.read_text()
    line.tell()
    until(lambda: line.remote()[0]["state"]["life_cycle_state"] == "TERMINATED")
    assert line.run(again) == (True, {"process": int(program)})
    assert len(line.remote()) == 1


def test_what_succeeded_is_computed_anew_when_a_person_does_it_again(line: Line):
    line.tell()
    assert line.run()[0]
    assert line.run(line.last())[0]
    assert len(line.remote()) == 2


def test_what_the_step_did_not_take_is_computed_anew(line: Line):
    line.tell()
    assert not line.run(FAIL="yes")[0]
    assert line.run(line.last())[0]
    assert len(line.remote()) == 2


def test_a_run_that_failed_by_itself_is_started_anew_by_the_next_attempt_and_not_by_the_same(
    workspace: Databricks, tmp_path: Path
):
    line = Line(workspace, tmp_path, "refuses")
    assert not line.run()[0]
    assert len(line.remote()) == 1
    assert not line.run(line.last())[0]
    assert len(line.remote()) == 2


def test_an_interrupted_run_is_left_only_once_it_is_over(workspace: Databricks, tmp_path: Path):
    place, word = Place(workspace.jobs()), tmp_path / "word"
    workspace.change(ignore_cancel_seconds=3)
    interrupted(place, word, lambda: said(word))
    workspace.change(ignore_cancel_seconds=0)
    assert _state_of_last(workspace) == ("TERMINATED", "CANCELED")
    assert not place.materialised()


def test_a_run_that_is_interrupted_while_it_is_submitted_is_cancelled_too(workspace: Databricks, tmp_path: Path):
    place = Place(workspace.jobs())
    place.run("reports")
    before = len(workspace.runs())
    workspace.emulator.fault("latency", "POST", SUBMIT, seconds=3)
    interrupted(place, tmp_path / "word", lambda: not workspace.emulator.faults_left())
    assert len(workspace.runs()) == before + 1
    assert _state_of_last(workspace) == ("TERMINATED", "CANCELED")


def test_a_run_that_waits_for_a_machine_can_be_cancelled(workspace: Databricks, tmp_path: Path):
    before = len(workspace.runs())
    workspace.change(queue_seconds=60)
    interrupted(Place(workspace.jobs()), tmp_path / "word", lambda: len(workspace.runs()) > before)
    workspace.change(queue_seconds=0)
    assert _state_of_last(workspace) == ("TERMINATED", "CANCELED")


def test_a_run_that_takes_too_long_is_ended_and_the_error_says_what_to_do(workspace: Databricks, tmp_path: Path):
    place = Place(workspace.jobs(timeout=timedelta(seconds=3)))
    with pytest.raises(JobError, match=r"longer than 0.05 minutes(.|\n)*Run page: https://(.|\n)*_TIMEOUT_MINUTES"):
        place.run("works_on", tmp_path / "word")
    assert _state_of_last(workspace) == ("TERMINATED", "TIMEDOUT")


def test_a_run_that_databricks_does_not_end_in_time_is_cancelled(workspace: Databricks, tmp_path: Path):
    workspace.change(ignore_timeout=True)
    place = Place(workspace.jobs(timeout=timedelta(seconds=2), patience=timedelta(seconds=1)))
    with pytest.raises(JobError, match="did not end within 0:00:03, and was cancelled"):
        place.run("works_on", tmp_path / "word")
    workspace.change(ignore_timeout=False)
    assert _state_of_last(workspace) == ("TERMINATED", "CANCELED")


def test_a_run_that_somebody_cancelled_there_failed_and_is_not_tried_again(workspace: Databricks, tmp_path: Path):
    place, word = Place(workspace.jobs()), tmp_path / "word"
    threading.Thread(target=_cancel_there, args=(workspace, word)).start()
    with pytest.raises(JobError, match="it was cancelled there"):
        place.run("works_on", word)
    assert not _will_be_tried_again(place)


@pytest.mark.parametrize("kind", ["serverless", "new_cluster"])
def test_a_run_that_lost_its_machine_or_was_killed_is_tried_again_later(
    workspace: Databricks, cluster: Path, tmp_path: Path, kind: str
):
    jobs = workspace.jobs(compute=kind if kind == "serverless" else str(cluster))
    killed = Place(jobs)
    with pytest.raises(JobError, match="killed or ended without a word"):
        killed.run("dies")
    assert _will_be_tried_again(killed)
    lost = Place(jobs)
    workspace.change(lose=1)
    with pytest.raises(JobError, match="CLOUD_FAILURE Could not reach driver(.|\n)*give it more memory"):
        lost.run("works_on", tmp_path / "word")
    assert _will_be_tried_again(lost)


def test_a_run_that_failed_by_itself_is_not_tried_again(workspace: Databricks):
    place = Place(workspace.jobs())
    with pytest.raises(JobError, match=r"line 7: no such day\nRun page: https://"):
        place.run("refuses")
    assert not _will_be_tried_again(place)


def test_a_step_leaves_a_link_to_the_run_s_page(workspace: Databricks):
    place = Place(workspace.jobs())
    place.run("reports")
    page = workspace.runs()[-1]["run_page_url"]
    assert f"Databricks run: {page}" in place.log()


def test_a_report_behind_a_long_log_is_read(workspace: Databricks):
    from ml_platform.gateways.jobs.databricks.client import connected
    from ml_platform.gateways.jobs.databricks.volume import VolumeFiles, VolumeMessages

    client, folder = connected(workspace.emulator.address), Path(workspace.volume, "long")
    (folder / "messages").mkdir(parents=True)
    for number in range(1, 31):
        (folder / "messages" / f"{number}.json").write_text(f'{{"number": {number}}}')
    with (messages := VolumeMessages(client, VolumeFiles(client), str(folder))).get_params() as params:
        found = messages.download_messages(None, params)
    assert found is not None
    assert [json.loads(line)["number"] for line in found[1].splitlines()] == [*range(1, 31)]


def test_what_was_said_long_ago_is_removed_and_nothing_else(workspace: Databricks):
    said = [Path(workspace.volume, "pipes", day, "token", "messages") for day in ("2000-01-01", "9999-01-01")]
    for folder in said:
        folder.mkdir(parents=True)
        (folder / "1.json").touch()
    Place(workspace.jobs()).run("reports")
    assert [folder.parents[1].exists() for folder in said] == [False, True]


def _cancel_there(workspace: Databricks, word: Path) -> None:
    from databricks.sdk import WorkspaceClient

    until(lambda: said(word))
    WorkspaceClient(host=workspace.emulator.address).jobs.cancel_run(workspace.runs()[-1]["run_id"])


def _state_of_last(workspace: Databricks) -> tuple[str, str]:
    state: Mapping[str, str] = workspace.runs()[-1]["state"]
    return state["life_cycle_state"], state.get("result_state", "")


def _will_be_tried_again(place: Place) -> bool:
    (run,) = place.instance.get_runs()
    return run.tags.get(RETRY_ON_ASSET_OR_OP_FAILURE_TAG) == "true"
