"""What lies under a URI: listed through Spark on a cluster, with its credentials, and by delta-rs beside Sail."""

import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING
from urllib.parse import unquote

from dbx_jobs.errors import DataError
from dbx_jobs.runtime import on_a_cluster

if TYPE_CHECKING:
    from pyarrow.fs import PyFileSystem
    from pyspark.sql import SparkSession


def path_of(uri: str) -> str:
    """The path of a URI without scheme, authority and outer slashes."""
    return re.sub(r"^[A-Za-z][A-Za-z0-9+.-]*:(//[^/]*)?", "", uri).strip("/")


def list_files(spark: "SparkSession", uri: str, folders: Sequence[str] | None = None) -> list[tuple[str, int]]:
    """(path relative to `uri`, bytes) of all files below these folders of it (None: below it), sorted.

    What is not there has no files. Raises DataError for a URI with spaces or special characters, whose files the
    engines name differently.
    """
    found = _listed_by_spark(spark, uri) if on_a_cluster() else _listed_by_store(uri, folders)
    inside = None if folders is None else tuple(f"{folder}/" for folder in folders)
    return sorted((path, size) for path, size in found if inside is None or path.startswith(inside))


def list_folders(uri: str) -> list[str]:
    """The names of the folders in `uri`, listed beside Sail."""
    from pyarrow.fs import FileSelector, FileType

    if (store := _store(uri)) is None:
        return []
    found = store.get_file_info(FileSelector("", allow_not_found=True))
    return sorted(info.base_name for info in found if info.type == FileType.Directory)


def has_file(uri: str, path: str) -> bool:
    """Whether there is a file `path` in `uri`, looked up beside Sail."""
    from pyarrow.fs import FileType

    store = _store(uri)
    return store is not None and store.get_file_info(path).type == FileType.File


def read_file(uri: str, path: str) -> bytes | None:
    """The content of the file `path` in `uri`, read beside Sail; None where there is none."""
    store = _store(uri)
    if store is None:
        return None
    try:
        with store.open_input_stream(path) as file:
            return file.read()
    except FileNotFoundError:
        return None


def _listed_by_spark(spark: "SparkSession", uri: str) -> Iterator[tuple[str, int]]:
    from pyspark.errors import AnalysisException

    reader = spark.read.format("binaryFile").option("recursiveFileLookup", "true")
    try:
        found = reader.load(uri).select("path", "length").collect()
    except AnalysisException as error:
        if error.getCondition() != "PATH_NOT_FOUND":
            raise
        return
    root = path_of(uri) + "/"
    for path, length in found:
        if not path_of(path).startswith(root):
            raise _unfit(uri)
        yield path_of(path).removeprefix(root), length


def _listed_by_store(uri: str, folders: Sequence[str] | None) -> Iterator[tuple[str, int]]:
    # Sail lists by reading: tens of milliseconds that grow with the files, and those of no bytes are left out.
    from pyarrow.fs import FileSelector, FileType

    if (store := _store(uri)) is None:
        return
    for folder in [""] if folders is None else folders:
        for info in store.get_file_info(FileSelector(folder, recursive=True, allow_not_found=True)):
            if info.type == FileType.File:
                yield info.path, info.size


def _store(uri: str) -> "PyFileSystem | None":
    """The object store that reads Delta tables beside Sail; None for a local folder that is not there."""
    from deltalake.exceptions import TableNotFoundError
    from deltalake.fs import DeltaStorageHandler
    from pyarrow.fs import PyFileSystem

    if unquote(uri) != uri:
        raise _unfit(uri)
    try:
        return PyFileSystem(DeltaStorageHandler(uri))
    except TableNotFoundError:
        return None


def _unfit(uri: str) -> DataError:
    return DataError(f"{uri} holds spaces or special characters, which file names do not keep: use one without")
