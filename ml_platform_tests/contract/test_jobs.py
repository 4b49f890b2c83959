"""A place where programs run gives the report of one that ended well, and the reason of one that did not."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest
from dagster._core.errors import DagsterExecutionInterruptedError
from dagster._core.pipes.utils import tail_file  # pyright: ignore[reportPrivateImportUsage]

from ml_platform.errors import JobError
from ml_platform.gateways.jobs import SubprocessJobs, WarmJobs
from ml_platform_tests.contract.azureml_line import place_in
from ml_platform_tests.contract.place import PROGRAMS, Place, until
from ml_platform_tests.emulators.databricks.started import Databricks
from ml_platform_tests.loopback_cloud import Loopback


@pytest.fixture(scope="module")
def warm() -> Iterator[WarmJobs]:
    with WarmJobs() as jobs:
        yield jobs


@pytest.fixture
def subprocess_place() -> Place:
    return Place(SubprocessJobs())


@pytest.fixture
def warm_place(warm: WarmJobs) -> Place:
    return Place(warm)


@pytest.fixture
def databricks_place(workspace: Databricks) -> Place:
    return Place(workspace.jobs(), keeps_streams_apart=False)


@pytest.fixture
def azureml_place(cloud: Loopback) -> Place:
    return place_in(cloud)


@pytest.fixture(
    params=["subprocess", "warm", *(pytest.param(each, marks=pytest.mark.cloud) for each in ("databricks", "azureml"))]
)
def place(request: pytest.FixtureRequest) -> Place:
    return request.getfixturevalue(f"{request.param}_place")


def test_a_program_is_asked_and_its_report_comes_back(place: Place):
    assert place.run("reports") == {"asked": "2013-01-01"}
    assert "told in the run's log" in place.log()


def test_what_a_program_prints_is_printed_by_the_step(place: Place, capfd: pytest.CaptureFixture[str]):
    with capfd.disabled():  # a worker that is there already has other streams than this step
        place.run("reports")
    place.run("prints")
    out, err = capfd.readouterr()
    assert "said on stdout" in (out if place.keeps_streams_apart else err).splitlines()
    assert "said on stderr" in err.splitlines()


def test_what_a_program_refused_is_the_error(place: Place):
    with pytest.raises(JobError, match="flights.csv, line 7: no such day"):
        place.run("refuses")


def test_a_program_that_ended_well_without_a_report_failed(place: Place):
    with pytest.raises(JobError, match="0 reports instead of one: nothing is recorded"):
        place.run("silent")


def test_a_killed_program_failed(place: Place):
    with pytest.raises(JobError, match="killed or ended without a word"):
        place.run("dies")


@pytest.mark.parametrize("way", ["refuses", "silent", "dies"])
def test_a_program_that_failed_does_not_spoil_the_next(place: Place, way: str):
    with pytest.raises(JobError):
        place.run(way)
    assert place.run("reports") == {"asked": "2013-01-01"}


def test_a_program_finds_nothing_that_one_before_it_left(place: Place):
    place.run("leaves_things")
    assert place.run("looks_around") == {"found": ["nothing", "nothing"]}


def test_an_interrupted_step_ends_its_program_and_records_nothing(place: Place, tmp_path: Path):
    started = tmp_path / "started"

    def interrupt() -> None:
        until(lambda: started.exists() and started.read_text() != "")
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    threading.Thread(target=interrupt).start()
    with pytest.raises(DagsterExecutionInterruptedError):
        place.run("works_on", started)
    assert not place.materialised()
    until(lambda: not psutil.pid_exists(int(started.read_text())))
    assert place.run("reports") == {"asked": "2013-01-01"}


def test_warm_programs_run_in_one_process_that_is_not_the_step_s(warm_place: Place):
    first, second = warm_place.run("names_itself"), warm_place.run("names_itself")
    assert first == second != {"process": os.getpid()}


def test_a_worker_that_died_is_named_and_replaced(warm_place: Place):
    before = warm_place.run("names_itself")["process"]
    with pytest.raises(JobError, match=f"process {before}, ended with signal 9; the next program gets another"):
        warm_place.run("dies")
    assert warm_place.run("names_itself")["process"] != before


def test_a_worker_that_died_while_nothing_ran_is_replaced_without_a_failure(warm_place: Place):
    before = warm_place.run("names_itself")["process"]
    os.kill(before, signal.SIGKILL)
    until(lambda: psutil.Process(before).status() == psutil.STATUS_ZOMBIE)
    assert warm_place.run("names_itself")["process"] != before


def test_a_worker_that_ran_its_share_of_programs_is_replaced():
    with WarmJobs(share=2) as jobs:
        place = Place(jobs)
        first, second, third = (place.run("names_itself")["process"] for _ in range(3))
    assert first == second != third
    assert not psutil.pid_exists(first)


def test_a_closed_place_leaves_no_process_and_can_be_used_again():
    with WarmJobs() as jobs:
        place = Place(jobs)
        before = place.run("names_itself")["process"]
        jobs.close()
        assert not psutil.pid_exists(before)
        after = place.run("names_itself")["process"]
    assert not psutil.pid_exists(after)


def test_a_worker_ends_with_its_owner_however_that_ends(tmp_path: Path):
    started = tmp_path / "started"
    order = {"STARTED": str(started), **{k: os.environ[k] for k in ("PATH", "HOME")}}
    owner = (
        f"from ml_platform.gateways.jobs.worker import Worker\nWorker().run('{PROGRAMS}.lasting_program', {order!r})\n"
    )
    with subprocess.Popen([sys.executable, "-W", "ignore", "-c", owner]) as process:
        until(lambda: started.exists() and started.read_text() != "")
        process.kill()
    until(lambda: not psutil.pid_exists(int(started.read_text())))


def test_a_message_that_is_still_being_written_is_read_once_it_is_whole(tmp_path: Path) -> None:
    messages = tmp_path / "messages"
    messages.write_text('{"begun": ')
    rest = iter(["1", "}\n"])

    def is_at_the_end() -> bool:
        part = next(rest, "")
        with messages.open("a") as file:
            file.write(part)
        return not part

    assert list(tail_file(str(messages), is_at_the_end)) == ['{"begun": 1}\n']


def test_a_message_that_is_written_just_before_the_end_is_read(tmp_path: Path) -> None:
    messages = tmp_path / "messages"
    messages.touch()

    def ends() -> bool:
        with messages.open("a") as file:
            file.write('{"report": 1}\n')
        return True

    assert list(tail_file(str(messages), ends)) == ['{"report": 1}\n']


def test_as_many_programs_run_at_once_as_there_are_workers(tmp_path: Path) -> None:
    with WarmJobs(workers=2) as jobs, ThreadPoolExecutor(2) as threads:
        places = [Place(jobs) for _ in range(2)]
        for place in places:
            # Configuring Python's logging in one run waits for the handlers of the other.
            place.instance.get_yaml_python_handlers = list
        assert list(threads.map(lambda place: place.run("meets", tmp_path), places)) == [{}, {}]
    assert len(list(tmp_path.iterdir())) == 2


def test_a_worker_s_successor_is_ready_before_its_last_program(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("ml_platform.gateways.jobs.warm.AHEAD", 1)
    others = {process.pid for process in psutil.Process().children()}
    with WarmJobs(share=2) as jobs:
        place = Place(jobs)
        first = place.run("knows_what_it_imported")
        place.run("reports")
        third = place.run("knows_what_it_imported")
        assert first["process"] != third["process"]
        workers = {process.pid for process in psutil.Process().children()} - others
    assert (first["had_imported"], third["had_imported"]) == (False, True)
    assert third["process"] in workers
    assert not any(map(psutil.pid_exists, workers))


def test_a_worker_that_died_before_its_first_program_is_replaced_without_a_failure():
    others = {process.pid for process in psutil.Process().children()}
    with WarmJobs() as jobs:
        jobs.start()
        (early,) = (process for process in psutil.Process().children() if process.pid not in others)
        early.kill()
        until(lambda: early.status() == psutil.STATUS_ZOMBIE)
        assert Place(jobs).run("names_itself")["process"] != early.pid
    assert not psutil.pid_exists(early.pid)
