"""Lakes on a loopback storage account, and the environments by which each kind of credential reaches them."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from ml_platform_tests.emulators.azurite import Azurite, azurite
from ml_platform_tests.emulators.identity import PRINCIPAL, TENANT, Identity
from ml_platform_tests.emulators.process import Cloud, Emulator, started
from ml_platform_tests.emulators.storage import AUTHORITY

CREDENTIALS = ("key", "sas", "principal", "identity", "workload")


@dataclass(frozen=True)
class Storage:
    """A storage account behind a front that can fail (`front.fault`) and counts calls (`front.record`)."""

    azurite: Azurite
    front: Emulator

    def lake(self, container: str) -> str:
        """Make a container unless it is there; the URI of a lake in it."""
        return self.azurite.lake(container)

    def secrets(self) -> list[str]:
        """What must stand in nothing that is written."""
        return [self.azurite.key, self.front.cloud.secret]

    def environment(self, credential: str) -> dict[str, str]:
        """The variables for one kind of credential of CREDENTIALS; see `entering`."""
        account = self.azurite
        secure, plain = self.front.addresses
        chosen = {
            "key": account.key_environment,
            "sas": account.sas_environment,
            "principal": lambda: {
                "AZURE_AUTHORITY_HOST": secure,
                "AZURE_TENANT_ID": TENANT,
                "AZURE_CLIENT_ID": PRINCIPAL,
                "AZURE_CLIENT_SECRET": self.front.cloud.secret,
            },
            "workload": lambda: workload_environment(self.front.cloud, secure),
            "identity": lambda: {"IDENTITY_ENDPOINT": f"{plain}/msi/token", "IDENTITY_HEADER": self.front.cloud.secret},
        }[credential]()
        return {**account.environment(), **chosen, "AZURE_STORAGE_ENDPOINT": f"{secure}/{account.account}"}


def workload_environment(cloud: Cloud, authority: str, **claims: Any) -> dict[str, str]:
    """What the webhook of workload identity puts into a pod; `claims` are those of `Identity.service_account_token`."""
    token = cloud.folder / "azure-identity-token"
    token.write_text(Identity(cloud.secret, cloud.key).service_account_token(**claims))
    return {
        "AZURE_AUTHORITY_HOST": f"{authority}/",
        "AZURE_TENANT_ID": TENANT,
        "AZURE_CLIENT_ID": PRINCIPAL,
        "AZURE_FEDERATED_TOKEN_FILE": str(token),
    }


@contextmanager
def loopback_storage(cloud: Cloud) -> Iterator[Storage]:
    """Start the account and its front."""
    with azurite(cloud) as account:
        address, told = account.endpoint.rpartition("/")[0], {AUTHORITY: str(cloud.ca)}
        with started(cloud, "storage", address, environment=told) as front:
            yield Storage(account, front)
