"""Point-in-time shapes over event streams: linear in rows, and equal in values on Sail and on JVM Spark.

Times are whole seconds since 1970 and summed values are integers, so that running sums are exact.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pyspark.sql import functions as F
from pyspark.sql.window import Window

if TYPE_CHECKING:
    from pyspark.sql import DataFrame


@dataclass(frozen=True)
class Spell:
    """What each row adds to the sums of its key, and when: `values` count from `start` until just before `end`.

    All are Spark SQL expressions over the row; values are integers and never null. A row whose `start` or `end` is
    null, or whose spell is empty, adds nothing. Spells may share names: their values then go into one sum.
    """

    start: str
    end: str
    values: Mapping[str, str]


@dataclass(frozen=True)
class Asks:
    """Which rows ask, as a Spark SQL condition, and a second (since 1970) before which none of them does."""

    condition: str = "true"
    since: int = 0


def active_sums(
    rows: "DataFrame", *, key: Sequence[str], row_id: str, at: str, spells: Sequence[Spell], asks: Asks | None = None
) -> "DataFrame":
    """For each row the sums over the spells of all rows of equal `key` that are active in second `at` of that row.

    Gives `row_id` and a bigint column for each name in the spells, 0 where nothing is active. Each spell becomes +value
    at its start and -value at its end, so that one running sum replaces a sliding window or a range join. With `asks`
    only the rows that ask are given, and spells that are over before cost nothing.
    """
    names = sorted({name for spell in spells for name in spell.values})
    asking = at if asks is None else f"CASE WHEN {asks.condition} THEN {at} END"
    marks = [_mark(row_id, asking, dict.fromkeys(names, "0"))]
    for spell in spells:
        marks.append(_mark("NULL", _if_filled(spell, spell.start, asks), _signed(spell, names, "+")))
        marks.append(_mark("NULL", _if_filled(spell, spell.end, asks), _signed(spell, names, "-")))
    exploded = rows.select(*key, F.explode(F.expr(f"array({', '.join(marks)})")).alias("mark"))
    stream = exploded.select(*key, "mark.*").where("at IS NOT NULL")
    sums = (F.sum(name).over(_until_now(key)).alias(name) for name in names)
    return stream.select("row_id", *sums).where("row_id IS NOT NULL").withColumnRenamed("row_id", row_id)


def latest_as_of(
    asks: "DataFrame", seen: "DataFrame", *, key: str, row_id: str, at: str, seen_at: str, within: int
) -> "DataFrame":
    """For each row of `asks` the row of `seen` of equal `key` with the greatest `seen_at` not after `at`.

    `seen` must be unique in (`key`, `seen_at`). Gives `row_id` and the columns of `seen` without `key`; a row of `asks`
    is left out when the last row before it is older than `within` seconds or missing.
    """
    asked = asks.selectExpr(key, f"{row_id} AS row_id", f"{at} AS at", f"CAST(NULL AS bigint) AS {seen_at}")
    marked = seen.selectExpr(key, "CAST(NULL AS string) AS row_id", f"{seen_at} AS at", seen_at)
    latest = F.max(seen_at).over(_until_now([key])).alias(seen_at)
    found = asked.unionByName(marked).select(key, "row_id", "at", latest)
    recent = found.where(f"row_id IS NOT NULL AND at - {seen_at} <= {within}")
    return recent.select(key, F.col("row_id").alias(row_id), seen_at).join(seen, [key, seen_at]).drop(key)


def _until_now(key: Sequence[str]):  # noqa: ANN202 - classic and Connect sessions have different window types
    # A constant stands for the empty key: Spark warns about windows without a partition.
    # Within one second events come before questions: what happens in the second of the question is known.
    order = (F.col("at"), F.col("row_id").isNotNull())
    return (
        Window.partitionBy(*(key or [F.lit(0)]))
        .orderBy(*order)
        .rowsBetween(Window.unboundedPreceding, Window.currentRow)
    )


def _mark(row_id: str, at: str, values: Mapping[str, str]) -> str:
    fields = [f"'row_id', CAST({row_id} AS string)", f"'at', CAST({at} AS bigint)"]
    fields += [f"'{name}', CAST({value} AS bigint)" for name, value in values.items()]
    return f"named_struct({', '.join(fields)})"


def _if_filled(spell: Spell, edge: str, asks: Asks | None) -> str:
    asked = f" AND ({spell.end}) > {asks.since}" if asks else ""
    return f"CASE WHEN ({spell.start}) < ({spell.end}){asked} THEN {edge} END"


def _signed(spell: Spell, names: Sequence[str], sign: str) -> dict[str, str]:
    return {name: f"{sign}({spell.values[name]})" if name in spell.values else "0" for name in names}
