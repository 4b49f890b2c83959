"""Files are listed completely, whether Spark or the object store lists them."""

from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from dbx_jobs.errors import DataError
from dbx_jobs.runtime import materialized
from dbx_jobs.storage import list_files, list_folders


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, content in {"a/x.csv": "1", "a/deep/y.csv": "22", "b/empty.csv": "", "ab/z.csv": "333"}.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(content)
    return tmp_path


def test_all_files_below_a_folder_are_listed_with_their_sizes_empty_ones_too(sail: SparkSession, folder: Path):
    every = [("a/deep/y.csv", 2), ("a/x.csv", 1), ("ab/z.csv", 3), ("b/empty.csv", 0)]
    assert list_files(sail, folder.as_uri()) == every
    assert list_folders(folder.as_uri()) == ["a", "ab", "b"]


def test_only_the_folders_of_a_range_are_listed(sail: SparkSession, folder: Path):
    assert list_files(sail, folder.as_uri(), "a", "a") == [("a/deep/y.csv", 2), ("a/x.csv", 1)]
    assert list_files(sail, folder.as_uri(), "ab", "b") == [("ab/z.csv", 3), ("b/empty.csv", 0)]
    assert list_files(sail, folder.as_uri(), "c", "d") == []


def test_what_is_not_there_has_no_files(sail: SparkSession, folder: Path):
    nowhere = (folder / "nowhere").as_uri()
    assert (list_files(sail, nowhere), list_folders(nowhere)) == ([], [])


def test_a_uri_whose_file_names_the_engines_write_differently_is_refused(sail: SparkSession, folder: Path):
    with pytest.raises(DataError, match="spaces or special characters"):
        list_files(sail, (folder / "two words").as_uri())


def test_a_materialized_frame_keeps_rows_and_columns_also_when_it_is_empty(sail: SparkSession) -> None:
    frame = sail.sql("SELECT 1 AS n, DATE'2013-01-01' AS day, CAST(NULL AS timestamp) AS at, ARRAY(1.5D) AS xs")
    for wanted in (frame, frame.where("n > 1")):
        with materialized(sail, wanted) as kept:
            assert kept.collect() == wanted.collect()
            assert [(f.name, f.dataType) for f in kept.schema] == [(f.name, f.dataType) for f in frame.schema]
