"""Dagster's instance, on SQLite and on PostgreSQL: home, storage, schema and the daemon's heartbeats."""

import shutil
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from dagster import DagsterInstance
from dagster._daemon.types import DaemonHeartbeat
from dagster_shared.error import SerializableErrorInfo

from ml_platform.processes import identity
from ml_platform.settings import PROJECT_ROOT, Settings
from ml_platform_tests.doctor.looked import assert_failed, environment, look
from ml_platform_tests.emulators.entering import foreign
from ml_platform_tests.emulators.postgres import Postgres, postgres

STORAGE = """
storage:
  postgres:
    postgres_db:
      hostname: {host}
      port: {port}
      username: {user}
      password: {{env: DAGSTER_PG_PASSWORD}}
      db_name: {database}
      scheme: postgresql+psycopg2
telemetry: {{enabled: false}}
"""


@pytest.fixture(autouse=True)
def no_other_instance() -> Iterator[None]:
    with environment({}, foreign()):
        yield


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """A laptop on which a first command has been run."""
    settings = Settings(home=tmp_path / "home")
    settings.dagster_home.mkdir(parents=True)
    shutil.copyfile(PROJECT_ROOT / "deployments/local/dagster.yaml", settings.dagster_home / "dagster.yaml")
    with DagsterInstance.from_config(str(settings.dagster_home)) as instance:
        instance.get_runs_count()
    return settings


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    with postgres() as started:
        yield started


@pytest.fixture
def shared(tmp_path: Path, server: Postgres, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """A deployment whose storage is PostgreSQL."""
    settings = Settings(home=tmp_path / "home")
    settings.dagster_home.mkdir(parents=True)
    monkeypatch.setenv("DAGSTER_HOME", str(settings.dagster_home))
    monkeypatch.setenv("DAGSTER_PG_PASSWORD", server.password)
    _configure(settings, server)
    return settings


def _configure(settings: Settings, server: Postgres, **instead: object) -> None:
    said = STORAGE.format(
        **{"host": "127.0.0.1", "port": server.port, "user": server.user, "database": server.database} | instead
    )
    (settings.dagster_home / "dagster.yaml").write_text(said)


def _beat(home: Path, ago: float, error: str = "") -> None:
    errors = [SerializableErrorInfo(error, [], None)] if error else []
    with DagsterInstance.from_config(str(home)) as instance:
        for name in instance.get_required_daemon_types():
            instance.add_daemon_heartbeat(DaemonHeartbeat(time.time() - ago, name, "some-id", errors))


def _bring_up(settings: Settings) -> None:
    """As if `ml-platform up` ran here: this process stands for the daemon's."""
    (settings.home / "services").mkdir()
    (settings.home / "services/daemon.process").write_text(identity())


def test_an_instance_on_sqlite_tells_its_runs_and_its_schema(settings: Settings) -> None:
    result = look(settings, "dagster storage")
    assert (result.status, result.seen["storage"], result.seen["runs"]) == ("ok", "Sqlite", 0), result
    assert result.seen["schema"]
    assert result.seen["launcher"] == "ProcessRunLauncher"


def test_a_home_that_cannot_be_written_to_fails(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert_failed(
        look(Settings(home=tmp_path / "file/home"), "dagster home"), str(tmp_path / "file"), "ML_PLATFORM_HOME"
    )


def test_a_schema_of_an_earlier_dagster_fails(settings: Settings) -> None:
    with sqlite3.connect(settings.dagster_home / "history/runs.db") as runs:
        runs.execute("UPDATE alembic_version SET version_num = '42add02bf976'")
    assert_failed(
        look(settings, "dagster storage"), "dagster instance migrate", f"DAGSTER_HOME={settings.dagster_home}"
    )


def test_a_configuration_that_dagster_refuses_fails(settings: Settings) -> None:
    (settings.dagster_home / "dagster.yaml").write_text("run_launcher: {module: nowhere, class: Nothing}\n")
    assert_failed(look(settings, "dagster storage"), "Correct", "dagster.yaml")
    (settings.dagster_home / "dagster.yaml").write_text("run_lancher: {}\n")
    assert_failed(look(settings, "dagster storage"), "Correct", "dagster.yaml")


def test_no_heartbeat_is_asked_for_while_nothing_is_up(settings: Settings) -> None:
    result = look(settings, "dagster daemon")
    assert (result.status, result.reason) == ("skipped", "nothing is up here: `ml-platform up` starts the daemon")


def test_a_daemon_that_is_up_and_told_of_itself_is_well(settings: Settings) -> None:
    _bring_up(settings)
    _beat(settings.dagster_home, ago=5)
    result = look(settings, "dagster daemon")
    assert result.status == "ok" and int(result.seen["daemons"]) > 3, result


@pytest.mark.parametrize("ago", [None, 600])
def test_a_daemon_that_is_up_and_told_nothing_fails(settings: Settings, ago: float | None) -> None:
    _bring_up(settings)
    if ago:
        _beat(settings.dagster_home, ago)
    result = look(settings, "dagster daemon")
    assert_failed(result, "Start Dagster's daemon again", "daemon.log")
    assert ("for 60" if ago else "at all") in str(result.reason)


def test_a_daemon_that_tells_of_errors_fails(settings: Settings) -> None:
    _bring_up(settings)
    _beat(settings.dagster_home, ago=5, error="Could not reach the code server\n")
    assert "Could not reach the code server" in str(look(settings, "dagster daemon").reason)


def test_postgresql_is_well_and_its_daemon_must_run(shared: Settings) -> None:
    result = look(shared, "dagster storage")
    assert (result.status, result.seen["storage"]) == ("ok", "Postgres"), result
    assert_failed(look(shared, "dagster daemon"), "Start Dagster's daemon again", "kubectl logs")
    _beat(shared.dagster_home, ago=5)
    assert look(shared, "dagster daemon").status == "ok"


@pytest.mark.parametrize(
    ("instead", "said"),
    [
        ({"user": "nobody"}, "password authentication failed"),
        ({"database": "no_such_database"}, "does not exist"),
        ({"port": 1}, "Connection refused"),
    ],
)
def test_postgresql_that_refuses_or_is_not_there_fails(
    shared: Settings, server: Postgres, instead: dict[str, object], said: str
) -> None:
    _configure(shared, server, **instead)
    result = look(shared, "dagster storage", seconds=90)
    assert_failed(result, "Start the database", "user, password and name", "dagster.yaml")
    assert said in str(result.reason), result


def test_a_wrong_password_of_postgresql_is_not_shown(shared: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DAGSTER_PG_PASSWORD", "c4n4ry-password")
    result = look(shared, "dagster storage", seconds=90)
    assert_failed(result, "Start the database")
    assert "c4n4ry" not in repr(result)
