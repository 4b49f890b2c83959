"""Object stores beside Spark, under file:// and abfss:// URIs, with the credentials that the environment holds.

obstore, delta-rs and Sail are built on the same library and read the same AZURE_ variables, in this order:
AZURE_STORAGE_ACCOUNT_KEY; AZURE_CLIENT_ID and AZURE_TENANT_ID with AZURE_FEDERATED_TOKEN_FILE or AZURE_CLIENT_SECRET;
AZURE_STORAGE_SAS_TOKEN; a managed identity. AZURE_STORAGE_ENDPOINT is where an account is that is not at its public
name. Calls that are throttled (429, 503), fail on the service's side or lose their connection are tried ten times.
"""

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from obstore import ObjectMeta
    from obstore.store import ObjectStore


def azure_options() -> dict[str, Any]:
    """What the libraries do not find by themselves: only Sail looks for a managed identity in IDENTITY_ENDPOINT.

    App Service, Azure ML and Container Apps set it. It is of no effect where there is another credential.
    """
    endpoint = os.environ.get("IDENTITY_ENDPOINT")
    return {"msi_endpoint": endpoint} if endpoint else {}


def delta_options() -> dict[str, str] | None:
    """Storage options of delta-rs; None for its own."""
    return azure_options() or None


def open_store(uri: str) -> "ObjectStore | None":
    """The store of what is below `uri`; None for a folder of this machine that is not there."""
    from obstore.exceptions import GenericError
    from obstore.store import from_url

    if urlsplit(uri).scheme != "file":
        return from_url(uri, config=azure_options())  # type: ignore[arg-type]
    try:
        return from_url(uri)
    except GenericError:
        return None


def files_between(store: "ObjectStore", folder: str, first: str, last: str) -> "Iterator[ObjectMeta]":
    """The files below a folder, those of its inner folders from `first` to `last` (both included); "" is no bound.

    A bound may be a path, `2013/04/01`. Azure lists from the first on and in order: one call for each 5,000 files of
    the range.
    """
    from obstore.store import LocalStore

    root = f"{folder}/" if folder else ""
    ordered = not isinstance(store, LocalStore)
    after = f"{root}{last}/\U0010ffff"
    for found in store.list(folder or None, offset=f"{root}{first}" if first else None):
        for file in found:
            if not last or file["path"] <= after:
                yield file
            elif ordered:
                return
