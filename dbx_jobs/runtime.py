"""Opens Pipes and a Spark session, parses the request, reports the result: the frame around every job."""

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import uuid4

from dagster_pipes import (
    PipesCliArgsParamsLoader,
    PipesContext,
    PipesEnvVarParamsLoader,
    PipesParamsLoader,
    PipesUnityCatalogVolumesContextLoader,
    PipesUnityCatalogVolumesMessageWriter,
    open_dagster_pipes,
)

from dbx_jobs.contract import REPORT_KEY, from_dict, to_dict
from dbx_jobs.databricks_secrets import take_secrets

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

Request = TypeVar("Request")


ELSEWHERE = ("DATABRICKS_RUNTIME_VERSION", "IS_SERVERLESS", "SPARK_REMOTE")
"""Variables of places that have Spark: clusters and serverless compute of Databricks, and servers of Spark Connect."""


def on_a_cluster() -> bool:
    """Whether Spark is elsewhere (Databricks, or a `SPARK_REMOTE` server) and not started by this process."""
    return any(name in os.environ for name in ELSEWHERE)


class _Sail:
    """The embedded server: one for each session, or one for all sessions of a process that keeps it."""

    keep = False
    kept: Any = None


def keep_spark() -> None:
    """From now on this process starts Sail once: each `spark_session` is a new session of the same server."""
    _Sail.keep = True


@contextmanager
def spark_session() -> Iterator["SparkSession"]:
    """The session of the place the program runs in, in UTC.

    Databricks and a `SPARK_REMOTE` server give their own; anywhere else Sail, an embedded Spark Connect server, is
    started in this process.
    """
    from pyspark.sql import SparkSession

    if on_a_cluster():
        spark = SparkSession.builder.getOrCreate()
        spark.conf.set("spark.sql.session.timeZone", "UTC")
        _send_code_along()
        yield spark
        return
    with _sail() as server:
        host, port = server.listening_address  # known once it is started
        # A session of its own: it has no views, tables or settings of one before.
        spark = SparkSession.builder.remote(f"sc://{host}:{port}").create()
        # It is in this process: there is no connection that could be lost and resumed, which each query would pay for.
        spark.client.disable_reattachable_execute()
        spark.conf.set("spark.sql.session.timeZone", "UTC")
        # It looks for IPython on the whole path for every column expression, to tell the JVM where each was written.
        spark.conf.set("spark.python.sql.dataFrameDebugging.enabled", "false")
        try:
            yield spark
        finally:
            spark.stop()


def _send_code_along() -> None:
    """Have functions that Spark calls carry the code of this package: its workers need not have it installed."""
    from pyspark import cloudpickle

    import dbx_jobs

    cloudpickle.register_pickle_by_value(dbx_jobs)


@contextmanager
def _sail() -> Iterator[Any]:
    server = _Sail.kept or _started_sail()
    if _Sail.keep:
        _Sail.kept = server
    try:
        yield server
    finally:
        if not _Sail.keep:
            server.stop()


def _started_sail() -> Any:
    os.environ.setdefault("RUST_LOG", "error")  # Sail warns about every persist and every task it ends
    from pysail.spark import SparkConnectServer

    server = SparkConnectServer(ip="127.0.0.1", port=0)
    server.start(background=True)
    return server


class _Scratch:
    """Where a program may leave files for as long as it runs, when the place it runs in told it one."""

    folder: str | None = None


@contextmanager
def materialized(spark: "SparkSession", frame: "DataFrame") -> Iterator["DataFrame"]:
    """`frame` computed once, for a program that uses it several times.

    It goes through temporary Parquet files: persist does nothing on Sail and is refused on serverless compute. On a
    cluster they lie where all its machines read; one that told of no such place persists.
    """
    if on_a_cluster() and not _Scratch.folder:
        kept = frame.persist()
        try:
            yield kept
        finally:
            kept.unpersist()
        return
    with _temporary_folder() as folder:
        path = folder / "frame"
        uri = str(path) if on_a_cluster() else path.as_uri()
        frame.write.parquet(uri)
        # Files know their columns; to ask for those of `frame` is to plan it once more. Without rows there is no file.
        reader = spark.read if any(path.glob("*.parquet")) else spark.read.schema(frame.schema)
        yield reader.parquet(uri)


@contextmanager
def _temporary_folder() -> Iterator[Path]:
    if not _Scratch.folder:
        with tempfile.TemporaryDirectory(prefix="dbx_jobs_") as folder:
            yield Path(folder)
        return
    folder = Path(_Scratch.folder, uuid4().hex)
    folder.mkdir(parents=True)
    try:
        yield folder
    finally:
        # What a volume does not let go of yet is removed with the folder of the run.
        shutil.rmtree(folder, ignore_errors=True)


def open_pipes() -> PipesContext:
    """Dagster Pipes, however its parameters came: by environment, or by arguments where a place gives no environment.

    What lies in a volume of Databricks is read and written there.
    """
    params: PipesParamsLoader = PipesEnvVarParamsLoader()
    if not params.is_dagster_pipes_process():
        params = PipesCliArgsParamsLoader()
    if not params.is_dagster_pipes_process() or not _in_a_volume(params):
        return open_dagster_pipes(params_loader=params)
    return open_dagster_pipes(
        params_loader=params,
        context_loader=PipesUnityCatalogVolumesContextLoader(),
        message_writer=PipesUnityCatalogVolumesMessageWriter(),
    )


def _in_a_volume(params: PipesParamsLoader) -> bool:
    return str(params.load_context_params().get("path", "")).startswith("/Volumes/")


def run_job(request_type: type[Request], program: Callable[["SparkSession", Request], Any]) -> None:
    """Run `program` on the request that Dagster Pipes brought and report its result as one custom message."""
    with open_pipes() as pipes:
        request = from_dict(request_type, pipes.get_extra("request"))
        _Scratch.folder = pipes.extras.get("scratch")
        take_secrets(pipes.extras.get("secrets", {}))
        with spark_session() as spark:
            report = program(spark, request)
        pipes.report_custom_message({REPORT_KEY: to_dict(report)})
