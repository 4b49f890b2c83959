"""Whatever process is killed: no run stays unfinished, none is done twice, and none writes while another does."""

from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import psutil
import pytest

from ml_platform.settings import Settings
from ml_platform_tests.live.deployment import Deployment, deployment, eventually

ASSET = ["slow"]


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    settings = Settings(home=tmp_path_factory.mktemp("killed"), code_revision="test")
    with deployment(settings, "ml_platform_tests.live.slow_location") as deployed:
        yield deployed


@pytest.fixture
def slow(running: Deployment) -> Iterator["Slow"]:
    place = Slow(running.settings.home / "slow")
    place.start_over()
    yield place
    place.let_go()


class Slow:
    """What the jobs wrote, and their permission to end."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def start_over(self) -> None:
        self._folder.mkdir(exist_ok=True)
        for name in ("go", "journal"):
            (self._folder / name).unlink(missing_ok=True)

    def let_go(self) -> None:
        (self._folder / "go").touch()

    def at_work(self, run_id: str) -> bool:
        return f"work {run_id}" in self.lines()

    def lines(self) -> list[str]:
        journal = self._folder / "journal"
        return journal.read_text().splitlines() if journal.exists() else []

    def story(self) -> list[str]:
        """The lines without repetitions: two jobs at work at once would alternate."""
        lines = self.lines()
        return [line for n, line in enumerate(lines) if n == 0 or lines[n - 1] != line]


def of(run: dg.DagsterRun | str, *words: str) -> list[str]:
    return [f"{word} {run if isinstance(run, str) else run.run_id}" for word in words]


def at_work(running: Deployment, slow: Slow) -> str:
    """A run whose job works."""
    run_id = running.launch(ASSET)
    eventually(lambda: slow.at_work(run_id), "the job works")
    return run_id


def retry_of(running: Deployment, run_id: str) -> str:
    runs = running.instance.get_runs
    return eventually(lambda: [run for run in runs() if run.parent_run_id == run_id], "a retry")[0].run_id


def slots_are_free(running: Deployment) -> bool:
    return not running.instance.event_log_storage.get_concurrency_info("slow").active_run_ids


def test_a_killed_run_worker_is_missed_at_once_its_job_ended_and_its_run_done_again(
    running: Deployment, slow: Slow
) -> None:
    first = at_work(running, slow)
    running.worker(first).kill()
    second = retry_of(running, first)
    eventually(lambda: slow.at_work(second), "the retry works")
    slow.let_go()
    killed, done = running.outcome(first)
    assert killed.status == dg.DagsterRunStatus.FAILURE
    assert slow.story() == of(first, "begin", "work") + of(done, "begin", "work", "end")
    eventually(lambda: slots_are_free(running), "the pool is free")


def test_the_run_of_a_killed_job_is_done_again(running: Deployment, slow: Slow) -> None:
    first = at_work(running, slow)
    running.job(first).kill()
    second = retry_of(running, first)
    eventually(lambda: slow.at_work(second), "the retry works")
    slow.let_go()
    _, done = running.outcome(first)
    assert slow.story() == of(first, "begin", "work") + of(done, "begin", "work", "end")


def test_a_run_worker_killed_before_it_began_is_started_again(running: Deployment, slow: Slow) -> None:
    slow.let_go()
    first = running.launch(ASSET)
    running.worker(first).kill()
    killed, done = running.outcome(first)
    assert killed.status == dg.DagsterRunStatus.FAILURE
    assert slow.story() == of(done, "begin", "end")


def test_runs_go_on_when_the_code_server_is_killed_and_new_ones_start_when_it_is_back(
    running: Deployment, slow: Slow
) -> None:
    first = at_work(running, slow)
    running.kill_service("code-server")
    slow.let_go()
    [done] = running.outcome(first)
    [other] = running.outcome(running.launch(ASSET))
    assert slow.story() == of(done, "begin", "work", "end") + of(other, "begin", "end")


def test_runs_go_on_when_the_daemon_is_killed_and_its_queue_is_not_lost(running: Deployment, slow: Slow) -> None:
    first = at_work(running, slow)
    second = running.launch(ASSET)
    running.kill_service("daemon")
    slow.let_go()
    [done], [queued] = running.outcome(first), running.outcome(second)
    assert slow.story() == of(done, "begin", "work", "end") + of(queued, "begin", "end")


def test_a_run_worker_that_dies_with_the_daemon_is_missed_by_the_next_daemon(running: Deployment, slow: Slow) -> None:
    first = at_work(running, slow)
    worker = running.worker(first)
    running.service("daemon").kill()
    worker.kill()
    second = retry_of(running, first)
    eventually(lambda: slow.at_work(second), "the retry works")
    slow.let_go()
    _, done = running.outcome(first)
    assert slow.story() == of(first, "begin", "work") + of(done, "begin", "work", "end")


def test_a_run_worker_that_dies_while_the_code_server_is_down_is_done_again_once_it_is_back(
    running: Deployment, slow: Slow
) -> None:
    first = at_work(running, slow)
    worker = running.worker(first)
    for _ in range(4):
        # The more often it died, the longer it stays down.
        running.kill_service("code-server")
    running.service("code-server").kill()
    worker.kill()
    slow.let_go()
    killed, done = running.outcome(first)
    assert killed.status == dg.DagsterRunStatus.FAILURE
    assert slow.story()[-2:] == of(done, "begin", "end")


def test_after_everything_was_killed_the_next_start_does_what_was_left(running: Deployment, slow: Slow) -> None:
    first = at_work(running, slow)
    second = running.launch(ASSET)
    running.kill_everything()
    slow.let_go()
    running.start()
    [killed, done], [queued] = running.outcome(first), running.outcome(second)
    assert killed.status == dg.DagsterRunStatus.FAILURE
    assert sorted(line for line in slow.lines() if line.startswith("end")) == sorted(
        of(done, "end") + of(queued, "end")
    )


def test_what_a_killed_supervisor_left_running_is_ended_by_the_next(running: Deployment, slow: Slow) -> None:
    slow.let_go()
    before = running.service("daemon")
    psutil.Process(running._process.pid).kill()
    running._process.wait()
    assert before.is_running()
    running.start()
    assert not before.is_running()
    running.outcome(running.launch(ASSET))


def test_stopping_ends_the_runs_and_the_next_start_does_them_again(running: Deployment, slow: Slow) -> None:
    first = at_work(running, slow)
    worker = running.worker(first)
    running.stop()
    assert not worker.is_running()
    slow.let_go()
    running.start()
    _, done = running.outcome(first)
    assert slow.story()[-2:] == of(done, "begin", "end")
