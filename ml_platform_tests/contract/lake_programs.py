"""The contract's programs, asked and telling over the lake where their place says so, as those of training are."""

from dagster_pipes import open_dagster_pipes

from dbx_jobs.contract import REPORT_KEY
from ml_platform.training.transport import pipes_options
from ml_platform_tests.contract.programs import WAYS

if __name__ == "__main__":
    with open_dagster_pipes(**pipes_options()) as pipes:
        pipes.report_custom_message({REPORT_KEY: WAYS[pipes.get_extra("request")["way"]](pipes)})
