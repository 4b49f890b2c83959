"""In a deployment the command line asks and tells the instance of DAGSTER_HOME, which is on PostgreSQL."""

import os
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest
import yaml

from ml_platform.core import keys
from ml_platform.core.product import ProductSpec
from ml_platform.errors import SettingsError
from ml_platform.gateways.endpoints import LocalEndpoints
from ml_platform.instance import deployed_home, home_of
from ml_platform.services import open_instance, prepare_home
from ml_platform.settings import PROJECT_ROOT, Settings
from ml_platform_tests.e2e.test_rolled_out_by_hand import said
from ml_platform_tests.emulators.postgres import Postgres, postgres
from ml_platform_tests.emulators.process import Cloud
from ml_platform_tests.graph.test_endpoint import CHAMPION, ENDPOINT, PRODUCT, SENSOR, Served, asked, quick
from ml_platform_tests.graph.ticks import Ticks

AZURE = yaml.safe_load((PROJECT_ROOT / "deployments" / "azure" / "dagster.yaml").read_text())
CONFIGURED = yaml.safe_dump({name: part for name, part in AZURE.items() if name != "compute_logs"})
"""Without the account for what runs print: contract/test_azure_instance.py has one."""
DECISION = dg.AssetKey(keys.retrain_decision(PRODUCT))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    with postgres(Cloud(tmp_path_factory.mktemp("cloud")).certificate) as started:
        yield started


@pytest.fixture
def pod(server: Postgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The DAGSTER_HOME of a pod, in which Azure's storage is configured; nothing else is there yet."""
    home = tmp_path / "dagster_home"
    home.mkdir()
    (home / "dagster.yaml").write_text(CONFIGURED)
    told = {
        "DAGSTER_HOME": str(home),
        "DAGSTER_PG_HOST": "127.0.0.1",
        "DAGSTER_PG_PORT": str(server.port),
        "DAGSTER_PG_USERNAME": server.user,
        "DAGSTER_PG_PASSWORD": server.password,
        "DAGSTER_PG_DB": server.database,
        "ML_PLATFORM_HOME": str(tmp_path / "home"),
        "ML_PLATFORM_CODE_REVISION": "test",
    }
    for name, value in told.items():
        monkeypatch.setenv(name, value)
    return home


@pytest.fixture
def product(monkeypatch: pytest.MonkeyPatch) -> ProductSpec:
    """With quick stages and a person's approval, also for the command line."""
    product = quick(approval="manual")
    monkeypatch.setattr("ml_platform.rollouts.declared_product", lambda _: product)
    return product


def test_a_person_asks_approves_and_goes_back_in_a_pod(pod: Path, product: ProductSpec) -> None:
    home = Settings().home
    with dg.DagsterInstance.from_config(str(pod)) as instance:
        served = Served(instance, home, product)
        try:
            _goes_through(served)
        finally:
            LocalEndpoints(home / "endpoints", "").delete(PRODUCT)
    assert (pod / "dagster.yaml").read_text() == CONFIGURED, "what is mounted stays"
    assert not (home / "dagster").exists(), "there is no other instance"
    assert os.environ["DAGSTER_HOME"] == str(pod)


def _goes_through(served: Served) -> None:
    facts = {"decision": "d-1", "as_of": "2013-05-05", "verdict": "quarantine", "reasons": "- rows are missing"}
    facts |= {"held_by": "nothing", "next_allowed": "2013-05-06", "champion": "none"}
    served.instance.report_runless_asset_event(dg.AssetMaterialization(DECISION, metadata=facts))
    served.champion()
    served.materialise(ENDPOINT)
    assert "of 2013-05-05, is to quarantine" in said("why-not", PRODUCT)
    assert "2013-05-05: quarantine (decision d-1" in said("why", PRODUCT, "--day", "2013-05-05")
    served.champion(-0.9)
    served.materialise(ENDPOINT)
    ticks = Ticks(served)
    assert (served.answering(), ticks.sensor(SENSOR)) == ("1", [])
    runs = served.instance.get_runs_count()
    assert "version 2 of flight_delays is approved by ada" in said("approve", PRODUCT, "--by", "ada")
    assert served.instance.get_runs_count() == runs, "the deployment's own launcher starts the run"
    assert "approved" in asked(ticks)
    served.materialise(ENDPOINT)
    assert (served.answering(), ticks.sensor(SENSOR)) == ("2", [])
    assert "version 1 of flight_delays serves again" in said("rollback", PRODUCT, "--by", "bob")
    assert served.said(CHAMPION)["version"] == "1"


def test_runs_of_other_machines_are_left_alone(pod: Path) -> None:
    with dg.DagsterInstance.from_config(str(pod)) as instance:
        run = instance.create_run_for_job(
            dg.GraphDefinition("elsewhere").to_job(), tags={"ml_platform/process": "1 started 1.0"}
        )
        instance.handle_new_event(_started(run))
        open_instance(Settings())
        found = instance.get_run_by_id(run.run_id)
    assert found and found.status == dg.DagsterRunStatus.STARTED


def _started(run: dg.DagsterRun) -> dg.EventLogEntry:
    event = dg.DagsterEvent(dg.DagsterEventType.RUN_START.value, run.job_name)
    return dg.EventLogEntry(
        error_info=None, user_message="", level=20, run_id=run.run_id, timestamp=0.0, dagster_event=event
    )


def test_an_instance_that_cannot_be_opened_is_named_and_no_password_with_it(
    pod: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DAGSTER_PG_PASSWORD", "c4n4ry-password")
    with pytest.raises(SettingsError, match="ml-platform doctor") as failed:
        open_instance(Settings())
    assert str(pod) in str(failed.value)
    assert "c4n4ry" not in str(failed.value)


def test_on_a_laptop_the_home_has_its_own_whatever_instance_of_the_platform_dagster_home_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DAGSTER_HOME", "")
    first, second = (Settings(home=tmp_path / name) for name in ("first", "second"))
    for settings in (first, second):
        with open_instance(settings) as instance:
            assert instance.root_directory == str(settings.dagster_home)
    monkeypatch.setenv("DAGSTER_HOME", str(first.dagster_home))
    assert (deployed_home(), home_of(second)) == (None, second.dagster_home)
    kept = "telemetry: {enabled: false}\n"
    (second.dagster_home / "dagster.yaml").write_text(kept)
    prepare_home(second)
    assert (second.dagster_home / "dagster.yaml").read_text() == kept
    assert deployed_home() == second.dagster_home
