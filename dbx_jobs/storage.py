"""What lies under a URI: listed through Spark on a cluster, with its credentials, and by object_store beside Sail."""

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING
from urllib.parse import unquote

from dbx_jobs.errors import DataError
from dbx_jobs.object_store import files_between, open_store
from dbx_jobs.runtime import on_a_cluster

if TYPE_CHECKING:
    from obstore.store import ObjectStore
    from pyspark.sql import SparkSession


def path_of(uri: str) -> str:
    """The path of a URI without scheme, authority and outer slashes."""
    return re.sub(r"^[A-Za-z][A-Za-z0-9+.-]*:(//[^/]*)?", "", uri).strip("/")


def list_files(spark: "SparkSession", uri: str, first: str = "", last: str = "") -> list[tuple[str, int]]:
    """(path relative to `uri`, bytes) of all files below it, sorted: those in its folders from `first` to `last`.

    "" is no bound; a bound may be a path. What is not there has no files. Raises DataError for a URI with spaces or
    special characters, whose files the engines name differently.
    """
    if on_a_cluster():
        found = _listed_by_spark(spark, uri)
        return sorted(each for each in found if first < each[0] and (not last or each[0] <= f"{last}/\U0010ffff"))
    # Sail lists by reading: tens of milliseconds that grow with the files, and those of no bytes are left out.
    store = _store(uri)
    return sorted((file["path"], file["size"]) for file in files_between(store, "", first, last)) if store else []


def list_folders(uri: str) -> list[str]:
    """The names of the folders in `uri`, listed beside Sail."""
    store = _store(uri)
    return sorted(store.list_with_delimiter()["common_prefixes"]) if store else []


def read_file(uri: str, path: str) -> bytes | None:
    """The content of the file `path` in `uri`, read beside Sail; None where there is none."""
    try:
        return bytes(store.get(path).bytes()) if (store := _store(uri)) else None
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


def _store(uri: str) -> "ObjectStore | None":
    if unquote(uri) != uri:
        raise _unfit(uri)
    return open_store(uri)


def _unfit(uri: str) -> DataError:
    return DataError(f"{uri} holds spaces or special characters, which file names do not keep: use one without")
