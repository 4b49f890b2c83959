"""A fingerprint of a table's content: equal rows give an equal fingerprint on every engine and in every order.

Each row is hashed with xxhash64; a partition's rows are counted and the halves of their hashes summed, which does not
depend on their order and, unlike a sum of whole hashes, does not overflow below 2^31 rows.
"""

from hashlib import sha256
from typing import TYPE_CHECKING

from pyspark.sql import functions as F

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame
    from pyspark.sql.types import StructField


def fingerprints(frame: "DataFrame", partition_column: str | None) -> dict[str | None, tuple[int, str]]:
    """(rows, fingerprint) of each partition of `frame` that has rows; without a partition column, of all under None."""
    columns = [f"`{name}`" for name in frame.columns]
    # xxhash64 passes over nulls, so that (1, null) and (null, 1) are alike: the flags tell them apart.
    flags = F.concat(*[F.when(F.col(c).isNull(), F.lit("0")).otherwise(F.lit("1")) for c in columns])
    hashed = frame.select(
        (F.col(partition_column).cast("string") if partition_column else F.lit(None).cast("string")).alias("partition"),
        F.xxhash64(flags, *map(_one_representation, frame.schema.fields)).alias("hash"),
    )
    sums = hashed.groupBy("partition").agg(
        F.count(F.lit(1)).alias("rows"),
        F.sum(F.col("hash").bitwiseAND(F.lit(0xFFFFFFFF))).alias("low"),
        F.sum(F.shiftright("hash", 32)).alias("high"),
    )
    schema = _schema(frame)
    return {row["partition"]: (row["rows"], _digest(schema, *row[1:])) for row in sums.collect()}


def _one_representation(field: "StructField") -> "Column":
    """The column, with -0.0 as the 0.0 that it equals."""
    column = F.col(f"`{field.name}`")
    return column + F.lit(0.0) if field.dataType.simpleString() == "double" else column


def empty_fingerprint(frame: "DataFrame") -> str:
    """The fingerprint of a partition without rows, of a table with `frame`'s schema."""
    return _digest(_schema(frame), 0, 0, 0)


def _schema(frame: "DataFrame") -> str:
    return ",".join(f"{field.name} {field.dataType.simpleString()}" for field in frame.schema.fields)


def _digest(schema: str, rows: int, low: int, high: int) -> str:
    return sha256(f"{schema}|{rows}|{low}|{high}".encode()).hexdigest()[:16]
