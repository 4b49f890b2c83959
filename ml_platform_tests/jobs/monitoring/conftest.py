"""Lakes for the monitoring jobs' tests."""

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import SparkSession

from dbx_jobs.jobs.ground_truth import build_ground_truth
from dbx_jobs.jobs.inference_log import build_log
from dbx_jobs.jobs.performance import build_performance
from dbx_jobs.jobs.profile import build_profile
from ml_platform_tests.jobs.monitoring import collected
from ml_platform_tests.jobs.monitoring.lake import LANDED, Lake


@pytest.fixture(scope="package")
def flights() -> Any:
    return collected.feature_rows(*LANDED)


@pytest.fixture(scope="package")
def done(sail: SparkSession, flights: Any, tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """A lake in which every job ran over the range; tests only read it, or write tables of their own."""
    lake = Lake(tmp_path_factory.mktemp("lake"), flights)
    collected.write_features(flights, lake.root / "features")
    collected.log_requests(flights, lake.root)
    build_log(sail, lake.log_request())
    build_ground_truth(sail, lake.truth_request())
    build_profile(sail, lake.profile_request())
    build_performance(sail, lake.performance_request())
    return lake


@pytest.fixture
def small(flights: Any, tmp_path: Path) -> Lake:
    """A lake with the requests of one hour of April 1st, from which nothing was made yet."""
    at = datetime.fromisoformat("2013-04-01T12:00:00Z")
    within = (flights["prediction_time"] >= at) & (flights["prediction_time"] < at + timedelta(hours=1))
    lake = Lake(tmp_path, flights[within].head(40))
    collected.write_features(flights, lake.root / "features")
    collected.log_requests(lake.rows, lake.root)
    return lake
