"""Dagster's instance as it is deployed in Azure keeps events in PostgreSQL and what runs print in the account."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml

from ml_platform.gateways.lake import Lake
from ml_platform.settings import PROJECT_ROOT
from ml_platform_tests.emulators.entering import add, alone
from ml_platform_tests.emulators.lakes import Storage
from ml_platform_tests.emulators.postgres import postgres
from ml_platform_tests.emulators.public_names import public_names

DEPLOYMENTS = PROJECT_ROOT / "deployments"


@contextmanager
def azure_instance(storage: Storage, home: Path) -> Iterator[dict[str, str]]:
    """The environment of processes with such an instance, reached as a managed identity."""
    home.mkdir()
    (home / "dagster.yaml").write_text((DEPLOYMENTS / "azure" / "dagster.yaml").read_text())
    port = int(storage.front.address.rpartition(":")[2])
    services = [f"{storage.azurite.account}.blob.core.windows.net", "login.microsoftonline.com"]
    with (
        postgres(storage.front.cloud.certificate) as server,
        public_names(dict.fromkeys(services, port)) as names,
    ):
        yield (
            alone(storage.environment("identity"))
            | names
            | {
                "DAGSTER_HOME": str(home),
                "DAGSTER_COMPUTE_LOGS": str(home / "compute-logs"),
                "DAGSTER_PG_HOST": "127.0.0.1",
                "DAGSTER_PG_PORT": str(server.port),
                "DAGSTER_PG_USERNAME": server.user,
                "DAGSTER_PG_PASSWORD": server.password,
                "DAGSTER_PG_DB": server.database,
            }
        )


@pytest.fixture
def logs(storage: Storage, monkeypatch: pytest.MonkeyPatch) -> Lake:
    """The container for what runs print."""
    add(monkeypatch, storage.environment("key"))
    return Lake(storage.lake("logs"))


def test_what_a_step_prints_lies_in_the_account_and_its_events_in_postgresql(
    storage: Storage, logs: Lake, tmp_path: Path
) -> None:
    from sqlalchemy import create_engine, text

    with azure_instance(storage, tmp_path / "dagster") as environment:
        command = [sys.executable, "-m", "ml_platform_tests.contract.printing_run"]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
        run = done.stdout.split()[-1]
        printed = {file.path: logs.read_text(file.path) for file in logs.files.listed(f"dagster/storage/{run}")}
        assert {path.rpartition(".")[2] for path in printed} == {"out", "err"}
        [out] = [content for path, content in printed.items() if path.endswith(".out")]
        [err] = [content for path, content in printed.items() if path.endswith(".err")]
        assert out == "printed by the step\n" and "printed as an error by the step" in err
        user, password = environment["DAGSTER_PG_USERNAME"], environment["DAGSTER_PG_PASSWORD"]
        address = f"{user}:{password}@127.0.0.1:{environment['DAGSTER_PG_PORT']}/{environment['DAGSTER_PG_DB']}"
        with create_engine(f"postgresql+psycopg2://{address}?sslmode=require").connect() as database:
            rows = database.execute(text("SELECT dagster_event_type FROM event_logs WHERE run_id = :run"), {"run": run})
            assert {"ASSET_MATERIALIZATION", "LOGS_CAPTURED", "PIPELINE_SUCCESS"} <= {row[0] for row in rows}
    assert not (tmp_path / "dagster" / "storage").exists(), "nothing is kept on the machine itself"


def test_the_instances_of_a_laptop_and_of_azure_differ_in_where_they_keep_things_alone() -> None:
    local, azure = (yaml.safe_load((DEPLOYMENTS / place / "dagster.yaml").read_text()) for place in ("local", "azure"))
    assert {"storage", "compute_logs"} == set(azure) - set(local)
    assert {name: azure[name] for name in local} == local
