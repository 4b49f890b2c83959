"""`check-assets` over a lake of real days: what is broken is named and fails, what cannot be told never passes."""

import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pandas as pd
import pytest
from click.testing import Result
from deltalake import DeltaTable, write_deltalake
from junitparser import JUnitXml, TestCase
from pyspark.sql import SparkSession
from typer.testing import CliRunner

from dbx_jobs.jobs.build_features import build_features
from dbx_jobs.jobs.check_tables import check_tables
from dbx_jobs.jobs.ingest import ingest
from ml_platform.asset_checks import command, models
from ml_platform.asset_checks.evaluation import Wanted, check_assets
from ml_platform.asset_checks.products import declared_products
from ml_platform.cli import app
from ml_platform.core import keys
from ml_platform.definitions import defs
from ml_platform.errors import JobError
from ml_platform.gateways import build
from ml_platform.gateways.registry import Version
from ml_platform.settings import PROJECT_ROOT, Settings
from ml_platform_tests.fixture_lake import DAYS, compute, make_lake
from ml_platform_tests.graph.reported import ReportedJobs

BROKEN = "2013-01-05"
KELVIN = (BROKEN, lambda rows: rows.assign(temp=(rows["temp"] + 459.67) * 5 / 9))


@dataclass(frozen=True)
class Home:
    """A home with a lake, to check and to break."""

    path: Path

    def table(self, name: str) -> Path:
        return self.path / "lake" / name

    def check(self, *arguments: str) -> Result:
        return CliRunner().invoke(app, ["check-assets", *arguments, "--junit", str(self.path / "checks.xml")])

    def cases(self) -> dict[str, TestCase]:
        """The cases of the JUnit file, by asset and check."""
        suites: Any = JUnitXml.fromfile(str(self.path / "checks.xml"))
        return {f"{case.classname}:{case.name}": case for suite in suites for case in suite}

    def results(self) -> dict[str, str]:
        """What the JUnit file says, of all cases that did not simply pass."""
        return {name: type(case.result[0]).__name__ for name, case in self.cases().items() if case.result}


@pytest.fixture(scope="module")
def whole(sail: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    """The fixture lake. The programs run in this process, so that Spark starts once for all tests."""
    home = tmp_path_factory.mktemp("fixture") / "home"

    def jobs() -> ReportedJobs:
        programs = {"INGEST": ingest, "BUILD_FEATURES": build_features, "CHECK_TABLES": check_tables}
        return ReportedJobs(**{name: lambda request, run=run: run(sail, request) for name, run in programs.items()})

    with pytest.MonkeyPatch.context() as patch:
        for kind in ("SubprocessJobs", "WarmJobs"):
            patch.setattr(build, kind, lambda *_, **__: jobs(), raising=False)
        patch.setenv("ML_PLATFORM_HOME", str(home))
        make_lake()
        yield Home(home)


@pytest.fixture
def home(whole: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    """A copy of the fixture lake that a test may break."""
    shutil.copytree(whole.path, tmp_path / "home")
    monkeypatch.setenv("ML_PLATFORM_HOME", str(tmp_path / "home"))
    return Home(tmp_path / "home")


def land_again(home: Home, source: str, day: str, change: Callable[[Any], Any]) -> None:
    """Land a changed file of a day and run its ingest; a failed ERROR check fails that run, as it should."""
    file = home.table(f"landing/{source}/{day}/{source}.csv")
    change(pd.read_csv(file)).to_csv(file, index=False)
    with dg.DagsterInstance.ephemeral() as instance:
        try:
            compute(instance, [keys.lake(source)], (day, day))
        except JobError as error:
            assert "blocking" in str(error).lower() or "failed" in str(error).lower()


def everything_in(folder: Path) -> dict[str, tuple[int, int]]:
    return {
        str(file.relative_to(folder)): (file.stat().st_size, file.stat().st_mtime_ns)
        for file in folder.rglob("*")
        if file.is_file()
    }


def declared_checks(asset: str = "") -> set[str]:
    """The checks of the graph, or of one of its assets."""
    checks = {key.to_user_string() for key in defs().resolve_asset_graph().asset_check_keys}
    return {check for check in checks if check.startswith(asset)}


def test_a_good_lake_exits_0_and_only_what_no_model_has_made_yet_is_skipped(home: Home) -> None:
    result = home.check()
    assert result.exit_code == 0, result.output
    skipped = {"models/flight_delays/candidate:gate", "monitoring/flight_delays/inference_log:rows_fit"}
    skipped |= {f"monitoring/flight_delays/{table}:within_thresholds" for table in ("drift", "performance")}
    skipped |= {"monitoring/flight_delays/online_features:online_equals_offline"}
    assert home.results() == dict.fromkeys(skipped, "Skipped")
    assert set(home.cases()) == declared_checks()


def test_checking_writes_nothing_but_the_junit_file(home: Home) -> None:
    before = everything_in(home.path)
    home.check()
    assert {name: what for name, what in everything_in(home.path).items() if name != "checks.xml"} == before


def test_kelvin_exits_1_and_the_check_and_the_day_are_named_in_the_table_and_in_the_junit_file(home: Home) -> None:
    land_again(home, "weather", *KELVIN)
    # As CI runs it: a process of its own, whose program is another.
    call = ["check-assets", "--select", "group:lake", "--junit", str(home.path / "checks.xml")]
    shell = subprocess.run(
        [sys.executable, "-m", "ml_platform.cli", *call], capture_output=True, text=True, cwd=PROJECT_ROOT
    )
    assert shell.returncode == 1, shell.stderr
    line = next((line for line in shell.stdout.splitlines() if "temperature_is_fahrenheit" in line), "")
    assert "failed" in line and BROKEN in line
    assert home.results() == {"lake/weather:temperature_is_fahrenheit": "Failure"}
    failure: Any = home.cases()["lake/weather:temperature_is_fahrenheit"].result[0]
    assert failure.message.startswith(f"{BROKEN}: ") and "temp=" in failure.message


def test_failed_warn_checks_are_shown_and_exit_0(home: Home) -> None:
    land_again(home, "weather", BROKEN, lambda rows: rows.head(20).assign(hour=["one", *rows["hour"][1:20]]))
    result = home.check("--select", 'key:"lake/weather"')
    assert result.exit_code == 0, result.output
    assert home.results() == {}
    for check, observed in (("all_stations_report", "19"), ("rows_fit", "1 of 20 rows in quarantine")):
        output = home.cases()[f"lake/weather:{check}"].system_out
        assert output and output.startswith(f"WARN {BROKEN}: {observed}")
        assert any(check in line and "warned" in line and BROKEN in line for line in result.output.splitlines())


def test_a_day_that_came_twice_and_one_that_is_another_again_are_failures(home: Home) -> None:
    land_again(home, "weather", BROKEN, lambda rows: pd.concat([rows, rows]))
    before = pd.read_csv(home.table("landing/weather/2013-01-06/weather.csv"))
    land_again(home, "weather", "2013-01-07", lambda _: before.assign(dayofmonth=7))
    assert home.check("--select", 'key:"lake/weather"').exit_code == 1
    wrong = {"lake/weather:rows_are_distinct", "lake/weather:rows_are_new"}
    assert home.results() == dict.fromkeys(wrong, "Failure")
    days = {check: home.cases()[check].result[0].message.split(":")[0] for check in wrong}
    assert days == {"lake/weather:rows_are_distinct": BROKEN, "lake/weather:rows_are_new": "2013-01-07"}


def test_what_only_the_landed_files_tell_is_an_error_once_they_are_gone(home: Home) -> None:
    shutil.rmtree(home.table(f"landing/weather/{BROKEN}"))
    assert home.check("--select", 'key:"lake/weather"').exit_code == 1
    assert home.results() == {"lake/weather:rows_are_distinct": "Error"}
    assert BROKEN in home.cases()["lake/weather:rows_are_distinct"].result[0].message


def test_a_lake_table_that_is_missing_is_an_error_and_the_others_are_evaluated(home: Home) -> None:
    shutil.rmtree(home.table("lake/planes"))
    result = home.check()
    assert result.exit_code == 1
    results = {name: kind for name, kind in home.results().items() if kind != "Skipped"}
    assert results == dict.fromkeys(declared_checks("lake/planes"), "Error")
    assert "there is no table: materialise lake/planes" in home.cases()["lake/planes:rows_fit"].result[0].message


def test_a_table_that_cannot_be_read_is_an_error_and_the_others_are_evaluated(home: Home) -> None:
    for file in home.table("lake/planes").glob("*.parquet"):
        file.unlink()
    assert home.check("--select", "group:lake").exit_code == 1
    assert home.results() == dict.fromkeys(declared_checks("lake/planes"), "Error")


def test_a_selected_day_that_a_table_does_not_hold_is_an_error_that_names_it(home: Home) -> None:
    result = home.check("--select", 'key:"lake/flights"', "--from", "2013-01-11", "--to", "2013-01-14")
    assert result.exit_code == 1
    assert home.results() == dict.fromkeys(declared_checks("lake/flights"), "Error")
    message = home.cases()["lake/flights:origin_is_known"].result[0].message
    assert message == "no row of 2013-01-13, 2013-01-14: materialise it"


def test_days_before_a_table_begins_are_an_error(home: Home) -> None:
    assert home.check("--select", "group:features", "--to", "2012-12-31").exit_code == 1
    assert set(home.results().values()) == {"Error"}


def test_what_was_selected_must_be_there(home: Home) -> None:
    assert home.check("--select", "group:monitoring or group:model").exit_code == 1
    assert home.results() == dict.fromkeys(declared_checks("monitoring/") | declared_checks("models/"), "Error")


def test_select_and_days_limit_what_is_evaluated(home: Home) -> None:
    land_again(home, "weather", *KELVIN)
    assert home.check("--select", 'key:"lake/flights"').exit_code == 0
    assert {name.split(":")[0] for name in home.cases()} == {"lake/flights"}
    assert home.check("--select", 'key:"lake/weather"', "--from", "2013-01-06").exit_code == 0
    assert home.check("--select", 'key:"lake/weather"', "--from", BROKEN, "--to", BROKEN).exit_code == 1


@pytest.mark.parametrize(
    "arguments",
    [
        ("--select", "lake/flights and ("),
        ("--select", 'key:"lake/trains"'),
        ("--from", "yesterday"),
        ("--from", "2013-01-03", "--to", "2013-01-02"),
        ("--days", "3"),
    ],
)
def test_a_question_that_makes_no_sense_exits_2(home: Home, arguments: tuple[str, ...]) -> None:
    assert home.check(*arguments).exit_code == 2
    assert not (home.path / "checks.xml").exists()


def test_an_expectation_that_cannot_be_evaluated_is_an_error(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    (product,) = declared_products()
    planes = [replace(e, kwargs=e.kwargs | {"column": "chairs"}) for e in product.expectations["lake/planes"]]
    changed = replace(product, expectations={**product.expectations, "lake/planes": planes})
    monkeypatch.setattr(command, "declared_products", lambda: [changed])
    assert home.check("--select", "group:lake").exit_code == 1
    assert home.results()["lake/planes:seats_are_plausible"] == "Error"
    assert "chairs" in home.cases()["lake/planes:seats_are_plausible"].result[0].message


def test_a_program_that_fails_makes_every_check_an_error(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(request: Any) -> Any:
        raise JobError("the cluster is gone")

    monkeypatch.setattr(build, "SubprocessJobs", lambda: ReportedJobs(CHECK_TABLES=fail))
    assert home.check("--select", "group:lake").exit_code == 1
    assert set(home.results()) == set(home.cases())
    assert {case.result[0].message for case in home.cases().values()} == {"the cluster is gone"}


def test_a_check_that_nothing_evaluates_is_an_error(home: Home) -> None:
    @dg.asset_check(asset=dg.AssetKey(keys.lake("planes")))
    def unheard_of() -> dg.AssetCheckResult:
        return dg.AssetCheckResult(passed=True)

    settings = Settings()
    definitions = dg.Definitions.merge(defs(), dg.Definitions(asset_checks=[unheard_of]))
    gateways = build.build_gateways(settings)
    outcomes = check_assets(definitions, declared_products(), gateways, settings, Wanted('key:"lake/planes"'))
    states = {outcome.check: outcome.state for outcome in outcomes}
    assert states.pop("unheard_of") == "error"
    assert set(states.values()) == {"passed"}


def days_of_april(count: int) -> list[date]:
    return [date(2013, 4, 1) + timedelta(days=n) for n in range(count)]


def test_drift_of_the_prediction_over_a_whole_window_exits_1_and_names_its_days(home: Home) -> None:
    shifted = [
        {
            "day": day,
            "column": "prediction",
            "cell": cell,
            "label": str(cell),
            "count": count,
            "baseline_count": expected,
            "baseline_version": "1",
        }
        for day in days_of_april(8)
        for cell, (expected, count) in enumerate([(900, 10), (100, 90)])
    ]
    write_deltalake(str(home.table("monitoring/flight_delays/drift")), pd.DataFrame(shifted))
    result = home.check("--select", 'key:"monitoring/flight_delays/drift"')
    assert result.exit_code == 1
    case = home.cases()["monitoring/flight_delays/drift:within_thresholds"]
    assert case.system_out
    # The days before the first whole window have no verdict.
    assert [line.split()[1] for line in case.system_out.splitlines()] == ["2013-04-07:", "2013-04-08:"]
    alone = home.check("--select", 'key:"monitoring/flight_delays/drift"', "--from", "2013-04-08")
    assert alone.exit_code == 1, "a window reads the days before the first that is asked for"


def test_a_performance_below_its_floor_exits_1_on_final_days_only(home: Home) -> None:
    bad = {"roc_auc": 0.4, "roc_auc_low": 0.35, "roc_auc_high": 0.45}
    bad |= {"log_loss": 0.5, "log_loss_low": 0.4, "log_loss_high": 0.6, "labelled": 900}
    rows = [{"day": day, "final": final, **bad} for day, final in zip(days_of_april(2), (True, False), strict=True)]
    write_deltalake(str(home.table("monitoring/flight_delays/performance")), pd.DataFrame(rows))
    asset = 'key:"monitoring/flight_delays/performance"'
    assert home.check("--select", asset).exit_code == 1
    message = home.cases()["monitoring/flight_delays/performance:within_thresholds"].result[0].message
    assert message.startswith("2013-04-01: alert") and "2013-04-02" not in message
    assert home.check("--select", asset, "--from", "2013-04-02").exit_code == 0


@pytest.mark.parametrize(("verdict", "code"), [("promote", 0), ("refuse", 1), ("ask", 1), (None, 1)])
def test_the_gate_is_what_the_registry_says_of_the_newest_version(
    home: Home, monkeypatch: pytest.MonkeyPatch, verdict: str | None, code: int
) -> None:
    class Newest:
        def latest(self, model: str) -> Version:
            tags = {"gate": verdict, "gate_reasons": "roc_auc is too low"} if verdict else {}
            return Version(model, "3", "run", "1", datetime.now(UTC), tags, {})

    monkeypatch.setattr(models, "_registry", lambda settings: Newest())
    (home.path / "mlflow.db").touch()
    assert home.check("--select", "group:model").exit_code == code
    if verdict == "refuse":
        message = home.cases()["models/flight_delays/candidate:gate"].result[0].message
        assert message == "table: version 3: refuse, roc_auc is too low"


def test_the_fixture_lake_has_every_lake_and_feature_table_of_its_days(whole: Home) -> None:
    for name in ("lake/flights", "lake/weather", "features/flight_delays"):
        days = {str(day) for day in DeltaTable(str(whole.table(name))).to_pandas()["day"]}
        assert (min(days), max(days), len(days)) == (*DAYS, 12)
