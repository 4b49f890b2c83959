"""Broken data trains no model and is named by an alert, although a decay calls for a training; repaired, it follows."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from ml_platform.core import keys
from ml_platform.gateways.jobs import WarmJobs
from ml_platform_tests.e2e import broken_files as files
from ml_platform_tests.e2e.kept_line import TABLES, KeptLine, days, kept_copy, only
from ml_platform_tests.e2e.line import DAILY, PRODUCT, TRAINED_UNTIL, Line

pytestmark = pytest.mark.loop

SOURCES = ("flights", "weather")
KNOWN = days("2013-02-01", "2013-02-08")
"""The days in the tables when something breaks. Of their predictions the first six have final labels: one too few."""
ASKED = "2013-02-07"
"""The last day that the endpoint was asked about. The features of GOOD make its labels final, and the decay plain."""
GOOD = "2013-02-09"
LAST = "2013-02-16"
LAST_WEEK, WEEK = days("2013-02-03", GOOD), days("2013-02-10", LAST)
FLIGHTS, WEATHER, FEATURES = DAILY


@dataclass(frozen=True)
class Break:
    """What lands, up to `last`, and what is to be said of it. `missing` days get no features, all others do."""

    land: Callable[[Path], None]
    last: str
    missing: list[str]
    named: list[str]
    """What the decision's alert says."""
    checks: list[str]
    """How the titles of other alerts begin."""


def kelvin(home: Path) -> None:
    files.land(home, "flights", days(GOOD, "2013-02-11"))
    files.land(home, "weather", [GOOD])
    files.land(home, "weather", days("2013-02-10", "2013-02-11"), files.kelvin)


def weather_stops(home: Path) -> None:
    files.land(home, "flights", days(GOOD, "2013-02-11"))
    files.land(home, "weather", [GOOD])


def flights_stop(home: Path) -> None:
    files.land(home, "flights", [GOOD])
    files.land(home, "weather", days(GOOD, "2013-02-13"))


def nulls(home: Path) -> None:
    for source, column, day in (("weather", "temp", "2013-02-10"), ("flights", "arr_delay", "2013-02-11")):
        files.land(home, source, days(GOOD, "2013-02-11"))
        files.land(home, source, [day], files.emptied(column))


def twice(home: Path) -> None:
    for source in SOURCES:
        files.land(home, source, [GOOD])
        files.land(home, source, WEEK, files.twice)


def again(home: Path) -> None:
    """Last week's files in this week's folders."""
    for source in SOURCES:
        files.land(home, source, [GOOD])
        for before, day in zip(LAST_WEEK, WEEK, strict=True):
            files.drop(home, source, day, files.good(source, before))


def again_with_new_dates(home: Path) -> None:
    for source in SOURCES:
        files.land(home, source, [GOOD])
        for before, day in zip(LAST_WEEK, WEEK, strict=True):
            files.drop(home, source, day, files.dated(files.good(source, before), day))


def of_week(check: str) -> tuple[list[str], list[str]]:
    """What is said when both sources fail a check on each day of the week."""
    named = [f"lake/{source} of {day} failed" for source in SOURCES for day in WEEK[:2]] + [check]
    return named, [f"lake/{source} failed the check {check} on {WEEK[0]}" for source in SOURCES]


BREAKS = {
    "temperatures in Kelvin from one day on": Break(
        kelvin,
        "2013-02-11",
        ["2013-02-10", "2013-02-11"],
        [f"lake/weather of 2013-02-1{n} failed temperature_is_fahrenheit" for n in (0, 1)],
        ["lake/weather failed the check temperature_is_fahrenheit on 2013-02-10, 2013-02-11"],
    ),
    "the weather stops": Break(
        weather_stops,
        "2013-02-11",
        ["2013-02-10", "2013-02-11"],
        [f"lake/weather stopped: its newest day is {GOOD}, and 2013-02-11 is due"],
        [],
    ),
    "the flights stop": Break(
        flights_stop,
        "2013-02-13",
        days("2013-02-10", "2013-02-13"),
        [f"lake/flights stopped: its newest day is {GOOD}, and 2013-02-13 is due"],
        [],
    ),
    "columns of nulls": Break(
        nulls,
        "2013-02-11",
        ["2013-02-10", "2013-02-11"],
        [
            "lake/weather of 2013-02-10 failed temperature_is_given",
            "lake/flights of 2013-02-11 failed most_flights_arrive",
        ],
        [
            "lake/weather failed the check temperature_is_given on 2013-02-10",
            "lake/flights failed the check most_flights_arrive on 2013-02-11",
        ],
    ),
    "a week with every row twice": Break(twice, LAST, WEEK, *of_week("rows_are_distinct")),
    "last week's files under this week's days": Break(again, LAST, WEEK, *of_week("rows_fit")),
    "last week's rows with this week's dates": Break(again_with_new_dates, LAST, WEEK, *of_week("rows_are_new")),
}


@pytest.fixture(scope="module")
def jobs() -> Iterator[WarmJobs]:
    """One Spark for all."""
    with WarmJobs() as warm:
        yield warm


@pytest.fixture(scope="module")
def eve(line: Line, jobs: WarmJobs, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home in which the model decays, one day of labels before that can be seen."""
    with kept_copy(line.settings.home, tmp_path_factory.mktemp("eve") / "home", jobs) as kept:
        for source in SOURCES:
            for folder in (kept.home / "lake" / "landing" / source).iterdir():
                if folder.name > KNOWN[-1]:
                    (folder / f"{source}.csv").unlink()
        files.land(kept.home, "flights", KNOWN)
        kept.settle()
        kept.line.materialise([keys.endpoint(PRODUCT)])
        kept.ask(ASKED)
        kept.settle()
        decision = kept.decision()
        assert (decision["verdict"], decision["as_of"]) == ("wait", KNOWN[-1]), decision
        assert "6 final days" in decision["reasons"]
        assert (kept.versions(), kept.retrainings(), kept.not_passed()) == (["1"], [], {})
        return kept.home


@dataclass(frozen=True)
class Undisturbed:
    """What became of the line on good days: first up to Kelvin's last, then up to LAST."""

    decision: dict[str, object]
    trained_until: list[str]
    versions: list[str]
    contents: dict[keys.AssetPath, dict[str, str]]


@pytest.fixture(scope="module")
def undisturbed(eve: Path, jobs: WarmJobs, tmp_path_factory: pytest.TempPathFactory) -> Undisturbed:
    """The control: the same line and policy on the same days, with nothing broken."""
    with kept_copy(eve, tmp_path_factory.mktemp("undisturbed") / "home", jobs) as kept:
        kept.trainings.may = True
        land_good(kept, days(GOOD, "2013-02-11"))
        kept.settle()
        decision = dict(kept.decision())
        ends = [request.window.end for request in kept.trainings.asked]
        tags = [run.tags.get("ml_platform/decision") for run in kept.retrainings()]
        assert tags == [decision["decision"]]
        versions = kept.versions()
        land_good(kept, days("2013-02-12", LAST))
        kept.settle()
        return Undisturbed(decision, ends, versions, {path: kept.contents(path) for path in TABLES})


def land_good(kept: KeptLine, wanted: list[str]) -> None:
    for source in SOURCES:
        files.land(kept.home, source, wanted)


def test_on_good_days_the_decay_leads_to_one_trained_model(undisturbed: Undisturbed):
    assert undisturbed.decision["verdict"] == "retrain", undisturbed.decision["reasons"]
    assert undisturbed.trained_until == ["2013-02-10"] > [TRAINED_UNTIL]
    assert undisturbed.versions == ["1", "2"]


@pytest.mark.parametrize("name", BREAKS)
def test_what_is_broken_in_the_lake_trains_nothing_is_named_and_once_repaired_all_follows(
    name: str, eve: Path, undisturbed: Undisturbed, jobs: WarmJobs, tmp_path: Path
):
    broken = BREAKS[name]
    with kept_copy(eve, tmp_path / "home", jobs) as kept:
        before = kept.alerts()
        broken.land(kept.home)
        kept.settle()
        kept.night(broken.last)
        nothing_was_trained(kept)
        told = [alert for alert in kept.alerts() if alert not in before]
        decisions = [alert for alert in told if alert.kind == "decision"]
        assert decisions and all(alert.title.startswith(f"{PRODUCT}: quarantine") for alert in decisions)
        assert [each for each in broken.named if each not in decisions[0].evidence] == []
        titles = [alert.title for alert in told]
        assert [each for each in broken.checks if not any(title.startswith(each) for title in titles)] == []
        made = kept.contents(FEATURES)
        assert only(made, broken.missing) == {} and GOOD in made

        land_good(kept, days("2013-02-10", broken.last))
        kept.settle()
        assert kept.not_passed() == {}
        wanted = days("2013-01-01", broken.last)
        for path in TABLES:
            assert kept.contents(path) == only(undisturbed.contents[path], wanted), path
        the_decay_is_acted_on_once(kept)


def test_a_unit_that_no_check_knows_trains_nothing_is_named_and_is_over_with_the_first_right_day(
    eve: Path, undisturbed: Undisturbed, jobs: WarmJobs, tmp_path: Path
):
    bad = days(GOOD, "2013-02-11")
    with kept_copy(eve, tmp_path / "home", jobs) as kept:
        kept.line.materialise([keys.endpoint(PRODUCT)])
        for day in bad:
            # The endpoint is asked before the labels come that show the decay, as in life.
            files.land(kept.home, "flights", [day])
            files.land(kept.home, "weather", [day], files.celsius)
            kept.line.materialise(DAILY, (day, day))
            kept.ask(day)
            kept.settle()
            nothing_was_trained(kept)
        evidence = [alert.evidence for alert in kept.alerts() if "quarantine" in alert.title]
        assert f"temp changed at once on {GOOD}" in evidence[0]

        right = "2013-02-12"
        land_good(kept, [*bad, right])
        kept.settle()
        nothing_was_trained(kept)
        assert kept.contents(FEATURES) == only(undisturbed.contents[FEATURES], days("2013-01-01", right))
        kept.ask(right)
        kept.settle()
        the_decay_is_acted_on_once(kept)


def nothing_was_trained(kept: KeptLine) -> None:
    assert kept.trainings.asked == []
    assert (kept.versions(), kept.retrainings()) == (["1"], []), kept.decision()["reasons"]


def the_decay_is_acted_on_once(kept: KeptLine) -> None:
    """As on good days: what held the training is gone, and one run of it was started, by the decision that stands."""
    decision = kept.decision()
    assert decision["verdict"] == "retrain", decision["reasons"]
    assert [run.tags["ml_platform/decision"] for run in kept.retrainings()] == [decision["decision"]]
    assert len(kept.trainings.asked) == 1
