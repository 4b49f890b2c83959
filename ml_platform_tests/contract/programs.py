"""A program under Dagster Pipes that ends in the way that it is asked for: see `Asked`."""

import os
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dagster_pipes import PipesContext

from dbx_jobs.contract import REPORT_KEY
from dbx_jobs.errors import DataError
from dbx_jobs.runtime import open_pipes, spark_session

SETTING, LEFT = "spark.sql.shuffle.partitions", "7"


@dataclass(frozen=True)
class PlacedProgram:
    """A module of the tests, where a stage names one of the platform's programs."""

    value: str


@dataclass(frozen=True)
class Asked:
    """How to end, what to report, and where to leave word while it runs."""

    way: str
    day: str
    place: str = ""


def reports(pipes: PipesContext) -> dict[str, Any]:
    pipes.log.info("told in the run's log")
    return {"asked": pipes.get_extra("request")["day"]}


def names_itself(_: PipesContext) -> dict[str, Any]:
    return {"process": os.getpid()}


def knows_what_it_imported(_: PipesContext) -> dict[str, Any]:
    return {"process": os.getpid(), "had_imported": "great_expectations" in sys.modules}


def prints(_: PipesContext) -> dict[str, Any]:
    print("said on stdout")
    os.write(2, b"said on stderr\n")
    return {}


def leaves_things(_: PipesContext) -> dict[str, Any]:
    os.environ["LEFT"] = "behind"
    with spark_session() as spark:
        spark.range(1).createOrReplaceTempView("left")
        spark.conf.set(SETTING, LEFT)
    return {}


def looks_around(_: PipesContext) -> dict[str, Any]:
    with spark_session() as spark:
        views = [table.name for table in spark.catalog.listTables()]
        setting = "behind" if spark.conf.get(SETTING, "") == LEFT else "nothing"
        return {"found": [*views, setting, os.environ.get("LEFT", "nothing")]}


def refuses(_: PipesContext) -> dict[str, Any]:
    raise DataError("flights.csv, line 7: no such day")


def dies(_: PipesContext) -> dict[str, Any]:
    os.kill(os.getpid(), signal.SIGKILL)
    return {}


def works_on(pipes: PipesContext) -> dict[str, Any]:
    Path(pipes.get_extra("request")["place"]).write_text(str(os.getpid()))
    time.sleep(600)
    return {}


def works_until_told(pipes: PipesContext) -> dict[str, Any]:
    place = Path(pipes.get_extra("request")["place"])
    place.write_text(str(os.getpid()))
    while not place.with_name("told").exists():
        time.sleep(0.05)
    return {"process": os.getpid()}


def meets(pipes: PipesContext) -> dict[str, Any]:
    place = Path(pipes.get_extra("request")["place"])
    (place / str(os.getpid())).touch()
    deadline = time.monotonic() + 60
    while len(list(place.iterdir())) < 2:
        if time.monotonic() > deadline:
            raise TimeoutError("nobody came")
        time.sleep(0.01)
    return {}


WAYS = {
    way.__name__: way
    for way in (
        reports,
        names_itself,
        knows_what_it_imported,
        prints,
        leaves_things,
        looks_around,
        refuses,
        dies,
        works_on,
        works_until_told,
        meets,
    )
}


def main() -> None:
    with open_pipes() as pipes:
        pipes.report_custom_message({REPORT_KEY: WAYS[pipes.get_extra("request")["way"]](pipes)})


if __name__ == "__main__":
    main()
