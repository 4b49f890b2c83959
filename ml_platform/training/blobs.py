"""The lake's container in Azure: opened, and read by delta-rs, with the credentials that the environment holds."""

import os
import re
from typing import TYPE_CHECKING, Any

from ml_platform.errors import SettingsError

if TYPE_CHECKING:
    from azure.storage.blob import ContainerClient

LAKE = re.compile(r"abfss?://(?P<container>[^@/]+)@(?P<account>[^./]+)\.dfs\.(?P<suffix>[^/]+)(?:/.*)?")
STORAGE_SCOPE = "https://storage.azure.com/.default"
KEY, SAS, ENDPOINT = "AZURE_STORAGE_ACCOUNT_KEY", "AZURE_STORAGE_SAS_TOKEN", "AZURE_STORAGE_ENDPOINT"
"""The variables that delta-rs and adlfs read too; without the first two an identity is used."""


def open_container(uri: str, **options: Any) -> "ContainerClient":
    """The container of a lake, `abfss://container@account.dfs.core.windows.net`; raises SettingsError for another URI.

    It is reached with the account's key or a SAS where the environment has one, else with DefaultAzureCredential.
    `options` are ContainerClient's, such as retry_policy.
    """
    from azure.identity import DefaultAzureCredential
    from azure.storage.blob import ContainerClient

    found = LAKE.fullmatch(uri)
    if found is None:
        raise SettingsError(f"{uri} is no abfss://CONTAINER@ACCOUNT.dfs.core.windows.net: programs in Azure need one")
    endpoint = os.environ.get(ENDPOINT) or f"https://{found['account']}.blob.{found['suffix']}"
    secret = os.environ.get(KEY) or os.environ.get(SAS)
    return ContainerClient(endpoint, found["container"], credential=secret or DefaultAzureCredential(), **options)


def storage_options(uri: str) -> dict[str, str] | None:
    """What delta-rs needs beside the environment to open a table: in Azure, without key and SAS, an identity's token.

    delta-rs knows some ways to an identity, azure-identity all (a training cluster's is of the latter).
    The token lasts an hour at least.
    """
    if not LAKE.fullmatch(uri) or os.environ.get(KEY) or os.environ.get(SAS):
        return None
    from azure.identity import DefaultAzureCredential

    return {"bearer_token": DefaultAzureCredential().get_token(STORAGE_SCOPE).token}
