"""The lake: may its documents be listed, written, read and removed, and do its tables open."""

import os
from contextlib import suppress
from pathlib import Path
from urllib.parse import unquote, urlsplit
from uuid import uuid4

from ml_platform.doctor.check import CheckFailed, Seen
from ml_platform.errors import LakeError
from ml_platform.gateways.lake import Lake

FOLDER = "doctor"
"""Below the lake's root; a document of a moment lies there."""

NO_TABLE, NO_DOCUMENT = (FOLDER, "no_such_table"), f"{FOLDER}/no_such_document"


def look_at_folder(uri: str) -> Seen:
    """A lake on a file system: list it; write, read and remove a document; what was not there is not there after."""
    root = Path(unquote(urlsplit(uri).path))
    parent = next(each for each in (root, *root.parents) if each.exists())
    made = [each for each in (root / FOLDER, root, *root.parents) if not each.exists()]
    name = f"{FOLDER}/{uuid4().hex}.txt"
    try:
        lake = Lake(uri)
        lake.write_text(name, name)
        unchanged = lake.read_text(name) == name
        (root / name).unlink()
        entries = len(list(root.iterdir())) - (root / FOLDER in made)
        _remove(made)
    except OSError as error:
        raise CheckFailed(
            f"{root}: {error.strerror or error}",
            f"Let the user {os.getuid()} write to the folder {parent}, or name another lake in ML_PLATFORM_LAKE_URI",
        ) from error
    if not unchanged:
        raise CheckFailed(f"{root} gives back other than was written", f"Put the lake on a sound disk, not on {root}")
    return {"uri": uri, "entries": entries, "written_and_removed": name}


def look_at_tables(lake: Lake) -> Seen:
    """Whether the platform's clients, obstore and delta-rs, reach the lake: both must say that a thing is not there.

    Each finds its credential in its own way.
    """
    from importlib.metadata import version

    from deltalake.exceptions import TableNotFoundError

    try:
        lake.files.read(NO_DOCUMENT)
        lake.version(NO_TABLE)
    except LakeError as error:
        if isinstance(error.__cause__, TableNotFoundError):
            return {"deltalake": version("deltalake"), "obstore": version("obstore")}
        raise _unread(lake, error) from error
    except Exception as error:  # what delta-rs raises depends on the store
        raise _unread(lake, error) from error
    raise CheckFailed(
        f"there is a table at {lake.table(NO_TABLE)}", "Remove it: the doctor needs the place to be empty"
    )


def _unread(lake: Lake, error: Exception) -> CheckFailed:
    return CheckFailed(
        f"{lake.uri} cannot be read: {_first_line(error)}",
        f"Set what obstore and delta-rs read for {lake.uri}: AZURE_STORAGE_ACCOUNT_KEY, AZURE_STORAGE_SAS_TOKEN, or "
        "the variables of an identity (AZURE_CLIENT_ID and AZURE_TENANT_ID with a secret or a token file, or "
        "IDENTITY_ENDPOINT)",
    )


def _remove(made: list[Path]) -> None:
    for folder in made:
        with suppress(OSError):  # another process has put something there meanwhile
            folder.rmdir()


def _first_line(error: BaseException) -> str:
    return f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"[:300]
