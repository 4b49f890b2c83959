"""Opens Pipes and a Spark session, parses the request, reports the result: the frame around every job."""

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from dagster_pipes import open_dagster_pipes

from dbx_jobs.contract import REPORT_KEY, from_dict, to_dict

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

Request = TypeVar("Request")


def on_a_cluster() -> bool:
    """Whether Spark is elsewhere (Databricks, or a `SPARK_REMOTE` server) and not started by this process."""
    return "DATABRICKS_RUNTIME_VERSION" in os.environ or "SPARK_REMOTE" in os.environ


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


@contextmanager
def materialized(spark: "SparkSession", frame: "DataFrame") -> Iterator["DataFrame"]:
    """`frame` computed once, for a program that uses it several times.

    A cluster persists it. In one process it goes through a temporary Parquet file, since persist does nothing on Sail.
    """
    if on_a_cluster():
        kept = frame.persist()
        try:
            yield kept
        finally:
            kept.unpersist()
        return
    with tempfile.TemporaryDirectory(prefix="dbx_jobs_") as folder:
        path = Path(folder) / "frame"
        frame.write.parquet(path.as_uri())
        # Files know their columns; to ask for those of `frame` is to plan it once more. Without rows there is no file.
        reader = spark.read if any(path.glob("*.parquet")) else spark.read.schema(frame.schema)
        yield reader.parquet(path.as_uri())


def run_job(request_type: type[Request], program: Callable[["SparkSession", Request], Any]) -> None:
    """Run `program` on the request that Dagster Pipes brought and report its result as one custom message."""
    with open_dagster_pipes() as pipes:
        request = from_dict(request_type, pipes.get_extra("request"))
        with spark_session() as spark:
            report = program(spark, request)
        pipes.report_custom_message({REPORT_KEY: to_dict(report)})
