"""The roles of the platform's identities in PostgreSQL, on a real one with a stand-in for Azure's own function."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml
from sqlalchemy import create_engine, text
from sqlalchemy.exc import ProgrammingError
from sqlalchemy.pool import NullPool

from ml_platform.settings import PROJECT_ROOT

emulator = pytest.importorskip("ml_platform_tests.emulators.postgres", reason="there is no PostgreSQL for tests here")

ROLES = PROJECT_ROOT / "deployments" / "azure" / "postgres" / "roles.sql"
IDENTITIES = {"web": "id-web", "code": "id-code", "run": "id-run", "reader": "id-reader"}
PSQL = shutil.which("psql")
# What Azure has: a role for a principal of Entra. Here it gets a password, since there is no Entra.
CREATE_PRINCIPAL = """
create function pgaadauth_create_principal(name text, admin boolean, mfa boolean) returns text language plpgsql as $$
begin execute format('create role %I login password %L', name, 'known'); return name; end $$
"""


@pytest.fixture(scope="module")
def server() -> Iterator[int]:
    """The port of a server on which roles.sql has run, twice."""
    if PSQL is None:
        pytest.skip("psql is not there")
    with emulator.postgres() as server:
        psql(server.port, server.user, server.password, "--command", "create role administrator login superuser")
        psql(server.port, server.user, server.password, "--command", "alter role administrator password 'known'")
        psql(server.port, "administrator", "known", "--command", f'alter role "{server.user}" rename to emulator')
        psql(server.port, "administrator", "known", "--command", "create database dagster")
        psql(server.port, "administrator", "known", "--command", CREATE_PRINCIPAL)
        names = [argument for key, value in IDENTITIES.items() for argument in ("-v", f"{key}={value}")]
        for _ in range(2):
            psql(server.port, "administrator", "known", *names, "--file", str(ROLES))
        yield server.port


def psql(port: int, user: str, password: str, *arguments: str) -> None:
    environment = {**os.environ, "PGPASSWORD": password}
    address = ["-h", "127.0.0.1", "-p", str(port), "-U", user, "-d", "postgres"]
    command = [str(PSQL), *address, "--quiet", *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def instance(port: int, role: str, home: Path, makes_tables: bool = True) -> dg.DagsterInstance:
    database = {"hostname": "127.0.0.1", "port": port, "username": role, "password": "known", "db_name": "dagster"}
    storage = {"postgres_db": {**database, "scheme": "postgresql+psycopg2"}, "should_autocreate_tables": makes_tables}
    home.mkdir()
    (home / "dagster.yaml").write_text(
        yaml.safe_dump({"storage": {"postgres": storage}, "telemetry": {"enabled": False}})
    )
    return dg.DagsterInstance.from_config(str(home))


@dg.job
def nothing() -> None:
    """A run without steps."""


def test_whoever_comes_first_makes_tables_that_the_others_can_use(server, tmp_path):
    with instance(server, "id-run", tmp_path / "run") as first:
        assert nothing.execute_in_process(instance=first).success
    for role in ("id-web", "id-code"):
        with instance(server, role, tmp_path / role) as other:
            assert nothing.execute_in_process(instance=other).success


def test_the_reader_sees_runs_and_can_change_nothing(server, tmp_path):
    with instance(server, "id-run", tmp_path / "run") as first:
        run = nothing.execute_in_process(instance=first).run_id
    with instance(server, "id-reader", tmp_path / "reader", makes_tables=False) as reader:
        assert reader.get_run_by_id(run) is not None
    with pytest.raises(ProgrammingError, match="permission denied"):
        asked(server, "id-reader", "delete from runs returning 1")


@pytest.mark.parametrize("role", ["id-web", "id-code", "id-run"])
def test_what_a_program_makes_belongs_to_all_of_them(server, role):
    assert asked(server, role, "select current_user") == "dagster"


def asked(port: int, role: str, question: str) -> Any:
    # A connection that is kept would keep the server from ending.
    address = f"postgresql+psycopg2://{role}:known@127.0.0.1:{port}/dagster"
    with create_engine(address, poolclass=NullPool).connect() as database:
        return database.execute(text(question)).scalar()
