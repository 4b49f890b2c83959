"""The Delta writer: exactly the asked partitions, one commit, none for equal content; fingerprints on both engines."""

import threading
from collections.abc import Sequence
from pathlib import Path

import pytest
from deltalake import DeltaTable
from pyspark.sql import DataFrame, SparkSession

from dbx_jobs import delta
from dbx_jobs.delta import read_table, table_version, write_partitions
from dbx_jobs.errors import DataError
from dbx_jobs.fingerprint import Content, fingerprints

DAYS = ["2013-01-01", "2013-01-02", "2013-01-03"]


def rows(spark: SparkSession, *values: tuple[int, str | None, str]) -> DataFrame:
    listed = ", ".join(f"({n}, {'NULL' if s is None else repr(s)}, DATE'{day}')" for n, s, day in values)
    return spark.sql(f"SELECT * FROM VALUES {listed} AS t (n, s, day)")


def three_days(spark: SparkSession) -> DataFrame:
    return rows(spark, *((n, f"row {n}", day) for n, day in enumerate(DAYS)))


def content(spark: SparkSession, uri: str) -> list[tuple]:
    return sorted(tuple(row) for row in read_table(spark, uri).selectExpr("n", "s", "cast(day as string)").collect())


@pytest.fixture
def uri(tmp_path: Path) -> str:
    return (tmp_path / "table").as_uri()


def test_a_new_table_has_no_deletion_vectors_wherever_it_is_made(sail: SparkSession, uri: str) -> None:
    write_partitions(sail, three_days(sail), uri, DAYS)
    assert DeltaTable(uri).metadata().configuration["delta.enableDeletionVectors"] == "false"


def test_only_the_changed_one_of_the_asked_partitions_is_written(sail: SparkSession, uri: str) -> None:
    write_partitions(sail, three_days(sail), uri, DAYS)
    new = rows(sail, (0, "row 0", DAYS[0]), (7, "new", DAYS[1]), (8, None, DAYS[1]))
    result = write_partitions(sail, new, uri, DAYS[:2])
    assert [(p.partition, p.rows, p.changed) for p in result.partitions] == [(DAYS[0], 1, False), (DAYS[1], 2, True)]
    kept = [(0, "row 0", DAYS[0]), (2, "row 2", DAYS[2])]
    assert content(sail, uri) == sorted([*kept, (7, "new", DAYS[1]), (8, None, DAYS[1])])
    assert result.version == table_version(sail, uri) == 2


def test_a_partition_without_new_rows_ends_empty(sail: SparkSession, uri: str) -> None:
    write_partitions(sail, three_days(sail), uri, DAYS)
    result = write_partitions(sail, three_days(sail).where("n = 0"), uri, DAYS[:2])
    assert [(p.rows, p.changed) for p in result.partitions] == [(1, False), (0, True)]
    assert [row[0] for row in content(sail, uri)] == [0, 2]


def test_the_same_rows_in_another_order_make_no_new_version(sail: SparkSession, uri: str) -> None:
    first = write_partitions(sail, three_days(sail), uri, DAYS)
    second = write_partitions(sail, three_days(sail).orderBy("n", ascending=False), uri, DAYS)
    assert second.version == first.version == 1
    assert [p.fingerprint for p in second.partitions] == [p.fingerprint for p in first.partitions]


def test_a_row_outside_the_asked_partitions_is_refused_before_anything_is_written(sail: SparkSession, uri: str) -> None:
    write_partitions(sail, three_days(sail), uri, DAYS)
    with pytest.raises(DataError, match="rows of \\['2013-01-03'\\] lie outside"):
        write_partitions(sail, three_days(sail), uri, DAYS[:2])
    assert table_version(sail, uri) == 1


def test_a_new_column_is_added_and_null_in_the_other_partitions(sail: SparkSession, uri: str) -> None:
    write_partitions(sail, three_days(sail), uri, DAYS)
    write_partitions(sail, three_days(sail).where("n = 1").selectExpr("1.5D AS x", "*"), uri, [DAYS[1]])
    found = read_table(sail, uri).selectExpr("n", "x").collect()
    assert sorted(tuple(row) for row in found) == [(0, None), (1, 1.5), (2, None)]
    write_partitions(sail, three_days(sail).selectExpr("*", "2.5D AS x"), uri, DAYS)
    assert [row[0] for row in read_table(sail, uri).select("x").collect()] == [2.5] * 3


@pytest.mark.parametrize("change", ["CAST(n AS STRING) AS n, s, day", "n, day"])
def test_a_changed_or_missing_column_is_refused(sail: SparkSession, uri: str, change: str) -> None:
    write_partitions(sail, three_days(sail), uri, DAYS)
    with pytest.raises(DataError, match="remove the table and write all its days again"):
        write_partitions(sail, three_days(sail).selectExpr(*change.split(", ")), uri, DAYS)
    assert len(content(sail, uri)) == 3


def test_runs_that_write_different_days_at_once_all_succeed(sail: SparkSession, uri: str) -> None:
    failures = []

    def write(n: int) -> None:
        try:
            write_partitions(sail, three_days(sail).where(f"n = {n}"), uri, [DAYS[n]])
        except Exception as failure:  # noqa: BLE001  # handed to the test's own thread
            failures.append(failure)

    threads = [threading.Thread(target=write, args=(n,)) for n in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert [row[0] for row in content(sail, uri)] == [0, 1, 2]


@pytest.mark.parametrize("theirs", [DAYS[0], DAYS[2]])
def test_what_another_run_wrote_over_at_the_same_time_is_told(
    sail: SparkSession, uri: str, monkeypatch: pytest.MonkeyPatch, theirs: str
) -> None:
    write_partitions(sail, three_days(sail), uri, DAYS)
    commit = delta._commit

    def both(frame: DataFrame, uri: str, partitions: Sequence[str | None]) -> None:
        commit(frame, uri, partitions)
        commit(rows(sail, (9, "theirs", theirs)), uri, [theirs])

    monkeypatch.setattr(delta, "_commit", both)
    mine = rows(sail, (7, "mine", DAYS[0]))
    if theirs != DAYS[0]:
        assert write_partitions(sail, mine, uri, [DAYS[0]]).partitions[0].changed
    else:
        with pytest.raises(DataError, match="another run wrote the same partitions"):
            write_partitions(sail, mine, uri, [DAYS[0]])


def test_a_table_without_days_takes_the_schema_of_what_is_written(sail: SparkSession, uri: str) -> None:
    write_partitions(sail, sail.sql("SELECT 1 AS a"), uri, [None], daily=False)
    result = write_partitions(sail, sail.sql("SELECT 'x' AS a, 2 AS b"), uri, [None], daily=False)
    assert [tuple(row) for row in read_table(sail, uri).collect()] == [("x", 2)]
    assert write_partitions(sail, sail.sql("SELECT 'x' AS a, 2 AS b"), uri, [None], daily=False) == type(result)(
        result.version, [type(p)(p.partition, p.rows, p.fingerprint, False) for p in result.partitions]
    )


def contents(frame: DataFrame, column: str | None = None, partitions: Sequence[str | None] = ()) -> Content:
    [found] = fingerprints([(frame, frame.schema)], column, partitions)
    return found


VALUES = """
    SELECT * FROM VALUES
      (1, 2L, 0.1D, true, 'é', DATE'2013-01-01', TIMESTAMP'2013-11-03 05:00:00.123456'),
      (-1, NULL, -0.0D, false, '', DATE'1969-12-31', TIMESTAMP'1969-12-31 23:59:59'),
      (NULL, -9223372036854775807L, double('NaN'), NULL, NULL, NULL, NULL)
    AS t (i, l, d, b, s, day, at)
"""


def test_a_fingerprint_is_equal_on_sail_and_on_jvm_spark(sail: SparkSession, jvm: SparkSession) -> None:
    assert contents(sail.sql(VALUES)) == contents(jvm.sql(VALUES))
    assert contents(sail.sql(VALUES), "day", DAYS) == contents(jvm.sql(VALUES), "day", DAYS)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("SELECT 1 AS a, CAST(NULL AS INT) AS b", "SELECT CAST(NULL AS INT) AS a, 1 AS b"),
        ("SELECT 1 AS a", "SELECT 1 AS b"),
        ("SELECT 1 AS a", "SELECT 1L AS a"),
        ("SELECT 1 AS a", "SELECT 1 AS a UNION ALL SELECT 1"),
        ("SELECT '' AS a", "SELECT CAST(NULL AS STRING) AS a"),
        ("SELECT 'ab' AS a, 'c' AS b", "SELECT 'a' AS a, 'bc' AS b"),
        ("SELECT 1 AS a UNION ALL SELECT 1", "SELECT 2 AS a UNION ALL SELECT 2"),
    ],
)
def test_different_content_has_different_fingerprints(sail: SparkSession, one: str, other: str) -> None:
    assert contents(sail.sql(one)) != contents(sail.sql(other))


def test_minus_zero_and_zero_have_one_fingerprint(sail: SparkSession) -> None:
    assert contents(sail.sql("SELECT -0.0D AS a")) == contents(sail.sql("SELECT 0.0D AS a"))


def test_several_frames_are_told_apart_in_one_query(sail: SparkSession) -> None:
    one, other = sail.sql("SELECT 1 AS a UNION ALL SELECT 2"), sail.sql("SELECT 'x' AS b")
    assert fingerprints([(one, one.schema), (other, other.schema)], None, [None]) == [contents(one), contents(other)]


def test_the_version_of_a_table_with_checkpoints_is_its_last(sail: SparkSession, uri: str, tmp_path: Path) -> None:
    for n in range(12):
        write_partitions(sail, rows(sail, (n, "row", DAYS[0])), uri, DAYS[:1])
        assert table_version(sail, uri) == n + 1
    log = tmp_path / "table" / "_delta_log"
    assert (log / "_last_checkpoint").exists()
    # A hint that is older than what was cleaned up: the log itself is asked.
    (log / "_last_checkpoint").write_text('{"version": 3}')
    (log / f"{3:020d}.json").unlink()
    assert table_version(sail, uri) == 12
