"""No secret of the lake, the online store or Dagster's database stands in anything that is written or shown."""

import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from urllib.parse import parse_qs, quote
from uuid import uuid4

import psutil
import pytest

from dbx_jobs.online_contract import PASSWORD_VARIABLE
from ml_platform.gateways.lake import Lake
from ml_platform.settings import PROJECT_ROOT
from ml_platform_tests.contract.test_azure_instance import azure_instance
from ml_platform_tests.emulators.entering import add
from ml_platform_tests.emulators.lakes import CREDENTIALS, Storage
from ml_platform_tests.online_stores import PASSWORD, managed_redis

TOKEN = re.compile(rb"eyJ[\w-]{10,}\.eyJ[\w-]{10,}\.")
"""The beginning of every token that the emulated identity gives."""


@pytest.mark.parametrize(
    "credential", [pytest.param(name, marks=() if name == "identity" else pytest.mark.cloud) for name in CREDENTIALS]
)
def test_a_run_that_tells_all_it_can_tells_no_secret(
    credential: str, storage: Storage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lake = storage.lake(f"told-{uuid4().hex}")
    storage.lake("logs")
    with azure_instance(storage, tmp_path / "dagster") as instance, managed_redis(storage.front.cloud) as admin:
        environment = {
            **instance,
            **storage.environment(credential),
            "ML_PLATFORM_HOME": str(tmp_path / "home"),
            "ML_PLATFORM_LAKE_URI": lake,
            "ML_PLATFORM_CODE_REVISION": "test",
            "ML_PLATFORM_ONLINE_STORE_URI": f"rediss://127.0.0.1:{admin.get_connection_kwargs()['port']}/0",
            PASSWORD_VARIABLE: PASSWORD,
        }
        secrets = {
            "key": storage.azurite.key,
            "password of Redis": PASSWORD,
            "password of PostgreSQL": instance["DAGSTER_PG_PASSWORD"],
            "secret of the identity": storage.front.cloud.secret,
            "signature": parse_qs(environment.get("AZURE_STORAGE_SAS_TOKEN", "")).get("sig", [""])[0],
        }
        written = tmp_path / "written"
        written.mkdir()
        commands = _run(environment, written)
        (written / "commands").write_text("\n".join(commands))
        (written / "database").write_text(_database(environment))
        add(monkeypatch, storage.environment("key"))
        kept, printed = (_copied(Lake(uri), written / name) for name, uri in _lakes(lake).items())
    told = (written / "output").read_text(), (written / "database").read_text()
    assert all("as it should" in each and lake in each for each in told), "it told nothing"
    assert "state.json" in kept and any(path.endswith(".err") for path in printed), "it kept nothing"
    assert list(found(secrets, tmp_path)) == []


def test_a_planted_secret_is_found_however_it_is_written(tmp_path: Path) -> None:
    secret = "a+b/c=="
    for n, text in enumerate((f"key={secret}", f"sig={quote(secret, safe='')}&x", "nothing")):
        (tmp_path / str(n)).write_text(text)
    (tmp_path / "token").write_text("Bearer eyJ0eXAiOiJKV1Qi.eyJhdWQiOiJodHRwczov.c2lnbmF0dXJl")
    assert sorted(found({"key": secret}, tmp_path)) == ["key in 0", "key in 1", "token in token"]


def found(secrets: Mapping[str, str], folder: Path) -> Iterator[str]:
    """Which secret stands in which file below a folder, as it is or as in a URL; a token of any kind too."""
    for path in (path for path in folder.rglob("*") if path.is_file()):
        content = path.read_bytes()
        for name, secret in secrets.items():
            if secret and any(form.encode() in content for form in (secret, quote(secret, safe=""))):
                yield f"{name} in {path.relative_to(folder)}"
        if TOKEN.search(content):
            yield f"token in {path.relative_to(folder)}"


def _lakes(lake: str) -> dict[str, str]:
    return {"lake": lake, "logs": f"abfss://logs@{lake.partition('@')[2]}"}


def _copied(lake: Lake, folder: Path) -> list[str]:
    """Copy all files of a lake into a folder; their paths."""
    paths = [file.path for file in lake.files.listed("")]
    for path in paths:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(lake.files.read(path) or b"")
    return paths


def _run(environment: Mapping[str, str], written: Path) -> set[str]:
    """Run it, its output going into a file; the command lines of all its processes."""
    command = [sys.executable, "-m", "ml_platform_tests.contract.telling_run"]
    seen: set[str] = set()
    variables = {**environment, "PYTHONPATH": str(PROJECT_ROOT)}
    with (
        (written / "output").open("w") as output,
        subprocess.Popen(command, env=variables, stdout=output, stderr=output, cwd=written) as process,
    ):
        watched = psutil.Process(process.pid)
        while process.poll() is None:
            with suppress(psutil.NoSuchProcess):
                seen |= {" ".join(each.cmdline()) for each in [watched, *watched.children(recursive=True)]}
            with suppress(subprocess.TimeoutExpired):
                process.wait(0.5)
    assert process.returncode == 0, (written / "output").read_text()[-3000:]
    return seen


def _database(environment: Mapping[str, str]) -> str:
    """All that Dagster keeps in PostgreSQL."""
    from sqlalchemy import create_engine, inspect, text

    user, password = environment["DAGSTER_PG_USERNAME"], environment["DAGSTER_PG_PASSWORD"]
    place = f"127.0.0.1:{environment['DAGSTER_PG_PORT']}/{environment['DAGSTER_PG_DB']}"
    engine = create_engine(f"postgresql+psycopg2://{user}:{password}@{place}?sslmode=require")
    with engine.connect() as database:
        tables = inspect(engine).get_table_names()
        return "\n".join(str(database.execute(text(f'SELECT * FROM "{table}"')).fetchall()) for table in tables)
