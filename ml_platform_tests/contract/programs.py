"""A program under Dagster Pipes that ends in the way that the environment variable WAY names."""

import os
import signal

from dagster_pipes import open_dagster_pipes

from dbx_jobs.contract import REPORT_KEY
from dbx_jobs.errors import DataError


def main(way: str) -> None:
    if way == "silent":
        return
    with open_dagster_pipes() as pipes:
        match way:
            case "reports":
                pipes.report_custom_message({REPORT_KEY: {"asked": pipes.get_extra("request")}})
            case "refuses":
                raise DataError("flights.csv, line 7: no such day")
            case "dies":
                os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    main(os.environ["WAY"])
