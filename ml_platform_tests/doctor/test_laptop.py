"""On a laptop: everything real, and each thing that can be wrong with it."""

import json
import socket
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from ml_platform.components import declared
from ml_platform.doctor import machine
from ml_platform.gateways.registry import initialise
from ml_platform.settings import Settings
from ml_platform_tests.doctor.command import doctor
from ml_platform_tests.doctor.looked import assert_failed, environment, look
from ml_platform_tests.emulators.entering import foreign

CHECKS = [
    "products",
    "revision",
    "alerts",
    "disk",
    "memory",
    "lake",
    "lake tables",
    "spark",
    "training",
    "endpoints",
    "endpoint ports",
    "mlflow",
    "online store",
    "dagster home",
    "dagster storage",
    "dagster daemon",
]


@pytest.fixture(autouse=True)
def laptop() -> object:
    with environment({}, foreign()):
        yield


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path / "home")


def test_a_new_laptop_is_well_and_is_left_as_it_was_but_for_mlflow_s_store(tmp_path: Path) -> None:
    told = doctor({"ML_PLATFORM_HOME": str(tmp_path / "home")}, "--json")
    assert told.code == 0, told
    assert list(told.checks) == CHECKS
    assert told.named("skipped") == {"dagster storage", "dagster daemon"}
    assert told.checks["spark"]["seen"]["pyspark"].startswith("4.2.")
    assert told.checks["products"]["seen"] == {"products": "flight_delays"}
    assert {path.name for path in (tmp_path / "home").iterdir()} == {"mlflow.db", "models"}


def test_lines_to_read_name_each_check_its_reason_and_its_remedy_and_the_code_tells_of_a_failure(
    tmp_path: Path,
) -> None:
    (tmp_path / "file").write_text("")
    told = doctor({"ML_PLATFORM_HOME": str(tmp_path), "ML_PLATFORM_LAKE_URI": (tmp_path / "file/lake").as_uri()})
    assert told.code == 1
    lines = told.out.splitlines()
    (place,) = [n for n, line in enumerate(lines) if line.startswith("failed")]
    assert lines[place].split()[:2] == ["failed", "lake"]
    assert lines[place + 1].strip().startswith("-> Let the user")
    assert lines[-1] == "12 ok, 1 failed, 3 skipped"


def test_a_lake_that_cannot_be_written_to_fails(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    result = look(Settings(home=settings.home, lake_uri=(tmp_path / "file/lake").as_uri()), "lake")
    assert_failed(result, "write to the folder", str(tmp_path / "file"), "ML_PLATFORM_LAKE_URI")


def test_a_lake_that_is_there_is_counted_and_keeps_its_documents(settings: Settings) -> None:
    (settings.home / "lake/landing").mkdir(parents=True)
    (settings.home / "lake/doctor").mkdir()
    (settings.home / "lake/doctor/note.txt").write_text("of another doctor")
    assert look(settings, "lake").seen["entries"] == 2
    assert [path.name for path in (settings.home / "lake/doctor").iterdir()] == ["note.txt"]


def test_a_table_where_the_doctor_looks_for_none_fails(settings: Settings) -> None:
    import pyarrow as pa
    from deltalake import write_deltalake

    write_deltalake(f"{settings.lake_uri}/doctor/no_such_table", pa.table({"a": [1]}))
    assert_failed(look(settings, "lake tables"), "Remove it")


def test_too_little_disk_and_memory_fail(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "LEAST_DISK_GIB", 1e9)
    monkeypatch.setattr(machine, "LEAST_MEMORY_GIB", 1e9)
    assert_failed(look(settings, "disk"), "Free at least", "ML_PLATFORM_HOME")
    assert_failed(look(settings, "memory"), "End what takes memory")


@pytest.mark.parametrize("check", ["spark", "training", "endpoints"])
def test_a_library_that_is_missing_or_broken_fails(
    check: str, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "broken_on_import.py").write_text("raise OSError('libgomp.so.1: cannot open shared object file')")
    monkeypatch.syspath_prepend(tmp_path)
    for wanted in (machine.SPARK, machine.TRAINING, machine.SCORING):
        monkeypatch.setitem(wanted, "broken", "broken_on_import")
    result = look(settings, check)
    assert_failed(result, "pip install", "library of the system")
    assert "libgomp" in str(result.reason)


def test_a_port_that_another_program_holds_fails(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        from ml_platform.doctor import declarations

        monkeypatch.setattr(declarations, "declared_ports", lambda: {"flight_delays": port})
        assert_failed(look(settings, "endpoint ports"), f"127.0.0.1:{port}", "endpoint.port", "flight_delays")


def test_a_declaration_that_does_not_load_fails(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ml_platform.asset_checks import products

    for module in (declared, products):
        monkeypatch.setattr(module, "PRODUCTS", tmp_path)
    assert_failed(look(settings, "products"), "dg scaffold defs")
    (tmp_path / "churn").mkdir()
    (tmp_path / "churn/defs.yaml").write_text("type: ml_platform.components.ModelProduct\nattributes: {name: churn}\n")
    result = look(settings, "products")
    assert_failed(result, "dg check yaml")
    assert "sources" in str(result.reason)


def test_code_of_no_known_revision_fails(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    assert_failed(look(settings, "revision"), "ML_PLATFORM_CODE_REVISION")


def test_an_address_of_alerts_that_is_none_fails_without_being_shown(tmp_path: Path) -> None:
    told = doctor(
        {"ML_PLATFORM_HOME": str(tmp_path), "ML_PLATFORM_ALERT_URLS": "json://127.0.0.1 noservice://c4n4ry-t0ken@host"},
        "--json",
    )
    assert told.named("failed") == {"alerts"}
    assert "Address 2 of ML_PLATFORM_ALERT_URLS" in told.checks["alerts"]["remedy"]
    assert "c4n4ry" not in told.out + told.err


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("ML_PLATFORM_ONLINE_STORE_URI", "rediss://:c4n4ry@host:6380/0"),
        ("ML_PLATFORM_ALERT_URLS", "c4n4ry"),
        ("ML_PLATFORM_TRAINING_THREADS", "c4n4ry"),
    ],
)
def test_wrong_settings_are_named_and_not_shown(variable: str, value: str) -> None:
    told = doctor({variable: value}, "--json")
    assert told.named("failed") == {"settings"}
    assert variable in told.checks["settings"]["reason"]
    assert "c4n4ry" not in told.out + told.err


def test_an_mlflow_database_of_another_version_fails(settings: Settings) -> None:
    initialise(settings.mlflow_tracking_uri, "dagster", settings.home / "models")
    with create_engine(settings.mlflow_tracking_uri).begin() as database:
        database.execute(text("UPDATE alembic_version SET version_num = '451aebb31d03'"))
    from mlflow.tracking._tracking_service.utils import _tracking_store_registry

    _tracking_store_registry._get_store_with_resolved_uri.cache_clear()
    assert_failed(look(settings, "mlflow"), "mlflow db upgrade", settings.mlflow_tracking_uri)


def test_an_mlflow_database_that_cannot_be_written_to_fails(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    uri = f"sqlite:///{tmp_path}/file/mlflow.db"
    assert_failed(
        look(Settings(home=settings.home, mlflow_tracking_uri=uri), "mlflow"), "Let the user", "file/mlflow.db"
    )


def test_an_mlflow_server_that_is_not_there_fails_soon(settings: Settings) -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    uri = f"http://ops:c4n4ry@127.0.0.1:{port}"
    result = look(Settings(home=settings.home, mlflow_tracking_uri=uri), "mlflow")
    assert_failed(result, f"Start MLflow at http://127.0.0.1:{port}", "ML_PLATFORM_MLFLOW_TRACKING_URI")
    assert result.seconds < 30


def test_a_server_that_takes_a_call_and_never_answers_holds_neither_the_others_nor_the_end(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        uri = f"http://ops:c4n4ry@127.0.0.1:{silent.getsockname()[1]}"
        variables = {"ML_PLATFORM_HOME": str(tmp_path), "ML_PLATFORM_MLFLOW_TRACKING_URI": uri}
        told = doctor({**variables, "MLFLOW_HTTP_REQUEST_TIMEOUT": "600"}, "--json", "--timeout", "25")
    assert told.named("failed") == {"mlflow"}
    assert told.checks["mlflow"]["reason"] == "it did not end in 25 s"
    assert "c4n4ry" not in told.out + told.err


def test_an_online_store_that_cannot_be_written_to_fails(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    uri = (tmp_path / "file/online").as_uri()
    assert_failed(look(Settings(home=settings.home, online_store_uri=uri), "online store"), str(tmp_path / "file"))


def test_the_command_lists_nothing_but_json_on_its_output(tmp_path: Path) -> None:
    told = doctor({"ML_PLATFORM_HOME": str(tmp_path)}, "--json")
    assert json.loads(told.out)
    assert told.err == ""
