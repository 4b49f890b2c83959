"""A fingerprint of a table's content: equal rows give an equal fingerprint on every engine and in every order.

Each row is hashed with xxhash64; a partition's rows are counted and the halves of their hashes summed, which does not
depend on their order and, unlike a sum of whole hashes, does not overflow below 2^31 rows.
"""

from collections.abc import Sequence
from functools import reduce
from hashlib import sha256
from typing import TYPE_CHECKING

from pyspark.sql import functions as F

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame
    from pyspark.sql.types import StructField, StructType


Content = dict["str | None", tuple[int, str]]
"""(rows, fingerprint) by partition; without a partition column all rows are under None."""


def fingerprints(
    frames: "Sequence[tuple[DataFrame, StructType]]", partition_column: str | None, partitions: Sequence[str | None]
) -> list[Content]:
    """The content of each of `frames`, all in one query: of `partitions`, and of any other that the frame has.

    A frame comes with its schema, which most often is known without asking Spark.
    """
    hashed = [
        _hashed(frame, schema, partition_column).select(F.lit(number).alias("frame"), "*")
        for number, (frame, schema) in enumerate(frames)
    ]
    sums = (
        reduce(lambda one, other: one.unionAll(other), hashed)
        .groupBy("frame", "partition")
        .agg(
            F.count(F.lit(1)).alias("rows"),
            F.sum(F.col("hash").bitwiseAND(F.lit(0xFFFFFFFF))).alias("low"),
            F.sum(F.shiftright("hash", 32)).alias("high"),
        )
    )
    described = [_described(schema) for _, schema in frames]
    found: list[Content] = [dict.fromkeys(partitions, (0, _digest(schema, 0, 0, 0))) for schema in described]
    for number, partition, *figures in sums.collect():
        found[number][partition] = (figures[0], _digest(described[number], *figures))
    return found


def _hashed(frame: "DataFrame", schema: "StructType", partition_column: str | None) -> "DataFrame":
    columns = [f"`{name}`" for name in schema.names]
    # xxhash64 passes over nulls, so that (1, null) and (null, 1) are alike: the flags tell them apart.
    flags = F.concat(*[F.when(F.col(c).isNull(), F.lit("0")).otherwise(F.lit("1")) for c in columns])
    return frame.select(
        (F.col(partition_column).cast("string") if partition_column else F.lit(None).cast("string")).alias("partition"),
        F.xxhash64(flags, *map(_one_representation, schema.fields)).alias("hash"),
    )


def _one_representation(field: "StructField") -> "Column":
    """The column, with -0.0 as the 0.0 that it equals."""
    column = F.col(f"`{field.name}`")
    return column + F.lit(0.0) if field.dataType.simpleString() == "double" else column


def _described(schema: "StructType") -> str:
    return ",".join(f"{field.name} {field.dataType.simpleString()}" for field in schema.fields)


def _digest(schema: str, rows: int, low: int, high: int) -> str:
    return sha256(f"{schema}|{rows}|{low}|{high}".encode()).hexdigest()[:16]
