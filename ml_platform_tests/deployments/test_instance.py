"""Dagster treats runs on Azure as it does on a laptop."""

import pytest
import yaml

from ml_platform.settings import PROJECT_ROOT
from ml_platform_tests.deployments import chart_instance
from ml_platform_tests.deployments.yaml_files import documents


@pytest.fixture(scope="module")
def azure():
    return chart_instance.instance(documents(PROJECT_ROOT / "deployments" / "azure" / "helm" / "values.yaml")[0])


@pytest.fixture(scope="module")
def laptop():
    return yaml.safe_load((PROJECT_ROOT / "deployments" / "local" / "dagster.yaml").read_text())


def test_only_runs_whose_process_died_are_retried_and_as_often(azure, laptop):
    assert azure["run_retries"] == laptop["run_retries"]


def test_a_table_has_one_writer_here_and_there(azure, laptop):
    assert azure["concurrency"]["pools"] == laptop["concurrency"]["pools"]


def test_sensors_wait_for_each_other_neither_here_nor_there(azure, laptop):
    assert azure["sensors"] == laptop["sensors"]


def test_runs_that_died_are_noticed_here_and_there(azure, laptop):
    assert azure["run_monitoring"].keys() >= laptop["run_monitoring"].keys()


def test_each_pod_comes_to_the_database_as_itself_and_without_a_password(azure):
    config = azure["run_storage"]["config"]
    assert config["postgres_db"]["username"] == {"env": "DAGSTER_PG_USERNAME"}
    assert "password" not in config["postgres_db"]
    assert config["auth_provider"].keys() == {"azure_wif"}


def test_the_laptops_instance_is_one(laptop):
    assert list(chart_instance.refused(laptop)) == []
