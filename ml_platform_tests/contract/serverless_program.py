"""A program that does what serverless compute of Databricks refuses: persists, sets_anything or imports."""

import sys

from pyspark.sql import SparkSession


def main(way: str) -> None:
    spark = SparkSession.builder.getOrCreate()
    if way == "persists":
        spark.range(1).persist()
    elif way == "sets_anything":
        spark.conf.set("spark.sql.adaptive.enabled", "false")
    else:
        import pysail  # noqa: F401


if __name__ == "__main__":
    main(sys.argv[1])
