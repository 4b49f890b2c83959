"""Databricks is chosen by its host alone, and wrong settings are told with what to write."""

import pytest

from ml_platform.errors import SettingsError
from ml_platform.gateways.build import build_gateways
from ml_platform.gateways.jobs import DatabricksJobs, JobsByProgram, SubprocessJobs
from ml_platform.settings import Settings

HOST, VOLUME = "https://adb-1.2.azuredatabricks.net", "/Volumes/main/ml_platform/files"


def jobs_of(**settings: str) -> JobsByProgram:
    jobs = build_gateways(Settings(**settings)).jobs  # type: ignore[arg-type]
    assert isinstance(jobs, JobsByProgram)
    return jobs


def test_spark_programs_run_here_unless_a_workspace_is_named():
    assert isinstance(jobs_of().spark, SubprocessJobs)
    jobs = jobs_of(databricks_host=HOST, databricks_volume=VOLUME)
    assert (jobs.spark, jobs.others) == (DatabricksJobs(HOST, VOLUME), SubprocessJobs())


@pytest.mark.parametrize("volume", ["main.ml_platform.files", "/Volumes/main/files", f"{VOLUME}/below", f"{VOLUME} x"])
def test_what_is_no_volume_is_refused(volume: str):
    with pytest.raises(SettingsError, match="give /Volumes/<catalog>/<schema>/<volume>"):
        Settings(databricks_host=HOST, databricks_volume=volume)


def test_a_workspace_without_a_volume_is_refused():
    with pytest.raises(SettingsError, match="ML_PLATFORM_DATABRICKS_VOLUME is not"):
        Settings(databricks_host=HOST)


def test_a_password_where_a_secrets_name_belongs_is_refused_and_not_shown():
    with pytest.raises(SettingsError, match="give SCOPE/KEY") as refused:
        Settings(databricks_online_store_secret="c4n4ry-password=")
    assert "c4n4ry" not in str(refused.value)
    secret = "ml-platform/online-store-password"
    jobs = jobs_of(databricks_host=HOST, databricks_volume=VOLUME, databricks_online_store_secret=secret)
    assert jobs.spark == DatabricksJobs(HOST, VOLUME, store_secret=secret)
