"""What lies under a URI, listed through Spark, so that the engine's own credentials serve."""

import re
from typing import TYPE_CHECKING

from dbx_jobs.errors import DataError
from dbx_jobs.runtime import on_a_cluster

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


def path_of(uri: str) -> str:
    """The path of a URI without scheme, authority and outer slashes."""
    return re.sub(r"^[A-Za-z][A-Za-z0-9+.-]*:(//[^/]*)?", "", uri).strip("/")


def list_files(spark: "SparkSession", uri: str) -> list[tuple[str, int]]:
    """(path relative to `uri`, bytes) of all files below it, none where nothing is; Sail leaves out empty files."""
    from pyspark.errors import AnalysisException

    reader = spark.read.format("binaryFile").option("recursiveFileLookup", "true")
    try:
        found = reader.load(uri).select("path", "length").collect()
    except AnalysisException as error:
        if error.getCondition() != "PATH_NOT_FOUND":
            raise
        return []
    root = path_of(uri) + "/"
    files = {}
    for path, length in found:
        if not path_of(path).startswith(root):
            raise DataError(
                f"{uri} lists {path}, which is not below it; use a URI without spaces and special characters"
            )
        files[path_of(path).removeprefix(root)] = length
    return sorted(files.items())


def list_empty_files(uri: str) -> list[str]:
    """The files of no bytes that Sail leaves out, listed with the object store that reads Delta tables beside it."""
    if on_a_cluster():
        return []
    from deltalake.exceptions import TableNotFoundError
    from deltalake.fs import DeltaStorageHandler
    from pyarrow.fs import FileSelector, FileType, PyFileSystem

    try:
        store = PyFileSystem(DeltaStorageHandler(uri))
    except TableNotFoundError:  # a local folder that is not there
        return []
    found = store.get_file_info(FileSelector("", recursive=True, allow_not_found=True))
    return [info.path for info in found if info.type == FileType.File and info.size == 0]
