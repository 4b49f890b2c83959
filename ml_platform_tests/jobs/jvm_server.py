"""A Spark Connect server of JVM Spark on a free loopback port: prints the port, serves until its input closes."""

import sys

from pyspark import SparkConf, SparkContext
from pyspark.sql import SparkSession

SETTINGS = {
    "spark.master": "local[2]",
    "spark.plugins": "org.apache.spark.sql.connect.SparkConnectPlugin",
    "spark.connect.grpc.binding.address": "127.0.0.1",
    "spark.connect.grpc.binding.port": "0",
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.driver.host": "127.0.0.1",
    "spark.driver.memory": "1500m",
    "spark.driver.extraJavaOptions": "-XX:TieredStopAtLevel=1",
    "spark.sql.adaptive.enabled": "false",
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.shuffle.partitions": "2",
    "spark.ui.enabled": "false",
}


def main() -> None:
    """Serve; the caller ends the server by closing its standard input."""
    context = SparkContext(conf=SparkConf().setAll(list(SETTINGS.items())))
    SparkSession(context)
    services = context._jvm.org.apache.spark.sql.connect.service  # type: ignore[union-attr]
    # How Python sees a Scala object.
    service = getattr(getattr(services, "SparkConnectService$"), "MODULE$")
    print(service.localPort(), flush=True)
    sys.stdin.read()
    context.stop()


if __name__ == "__main__":
    main()
