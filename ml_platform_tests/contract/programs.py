"""A program under Dagster Pipes that ends in the way that the environment variable WAY names."""

import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

from dagster_pipes import PipesContext, open_dagster_pipes

from dbx_jobs.contract import REPORT_KEY
from dbx_jobs.errors import DataError
from dbx_jobs.runtime import spark_session


def reports(pipes: PipesContext) -> dict[str, Any]:
    pipes.log.info("told in the run's log")
    return {"asked": pipes.get_extra("request")}


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
        spark.conf.set("spark.sql.left", "behind")
    return {}


def looks_around(_: PipesContext) -> dict[str, Any]:
    with spark_session() as spark:
        views = [table.name for table in spark.catalog.listTables()]
        return {"found": [*views, spark.conf.get("spark.sql.left", "nothing"), os.environ.get("LEFT", "nothing")]}


def refuses(_: PipesContext) -> dict[str, Any]:
    raise DataError("flights.csv, line 7: no such day")


def dies(_: PipesContext) -> dict[str, Any]:
    os.kill(os.getpid(), signal.SIGKILL)
    return {}


def works_on(_: PipesContext) -> dict[str, Any]:
    Path(os.environ["STARTED"]).write_text(str(os.getpid()))
    time.sleep(600)
    return {}


def meets(_: PipesContext) -> dict[str, Any]:
    place = Path(os.environ["MEETING"])
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
        meets,
    )
}


def main(way: str) -> None:
    if way == "silent":
        return
    with open_dagster_pipes() as pipes:
        pipes.report_custom_message({REPORT_KEY: WAYS[way](pipes)})


if __name__ == "__main__":
    main(os.environ["WAY"])
