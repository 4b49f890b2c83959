"""What each Azure resource must say for itself, beyond its type: no keys, no open doors, encrypted on the way."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ml_platform_tests.deployments.bicep import Resource
from ml_platform_tests.deployments.values import Unknown, at

BASELINE = "Microsoft cloud security benchmark"


@dataclass(frozen=True)
class Rule:
    """What stands at a place must be one of some values; with `closable`, it must only be able to be the first."""

    type: str
    place: str
    values: tuple[Any, ...]
    source: str = BASELINE
    closable: bool = False


def _closable(kind: str, place: str = "properties.publicNetworkAccess") -> Rule:
    return Rule(kind, place, ("Disabled", "Enabled"), "the option privateNetworking", closable=True)


ACCOUNT, VAULT = "Microsoft.Storage/storageAccounts", "Microsoft.KeyVault/vaults"
CLUSTER, SERVER = "Microsoft.ContainerService/managedClusters", "Microsoft.DBforPostgreSQL/flexibleServers"
REGISTRY, REDIS = "Microsoft.ContainerRegistry/registries", "Microsoft.Cache/redisEnterprise"
AZUREML, DATABRICKS = "Microsoft.MachineLearningServices/workspaces", "Microsoft.Databricks/workspaces"

SCALES = tuple(f"Microsoft.Insights/autoscaleSettings/{verb}" for verb in ("read", "write", "delete"))

RULES = (
    Rule(ACCOUNT, "properties.allowBlobPublicAccess", (False,)),
    Rule(ACCOUNT, "properties.allowSharedKeyAccess", (False,)),
    Rule(ACCOUNT, "properties.supportsHttpsTrafficOnly", (True,)),
    Rule(ACCOUNT, "properties.minimumTlsVersion", ("TLS1_2", "TLS1_3")),
    Rule(f"{ACCOUNT}/blobServices/containers", "properties.publicAccess", ("None",)),
    Rule(VAULT, "properties.enableRbacAuthorization", (True,)),
    Rule(VAULT, "properties.enablePurgeProtection", (True,)),
    Rule(REGISTRY, "properties.adminUserEnabled", (False,)),
    Rule(REGISTRY, "properties.anonymousPullEnabled", (False,)),
    Rule(SERVER, "properties.authConfig.activeDirectoryAuth", ("Enabled",)),
    Rule(SERVER, "properties.authConfig.passwordAuth", ("Disabled",)),
    Rule(REDIS, "properties.minimumTlsVersion", ("1.2",)),
    Rule(f"{REDIS}/databases", "properties.clientProtocol", ("Encrypted",)),
    Rule(f"{REDIS}/databases", "properties.accessKeysAuthentication", ("Disabled",)),
    Rule(CLUSTER, "properties.disableLocalAccounts", (True,)),
    Rule(CLUSTER, "properties.aadProfile.enableAzureRBAC", (True,)),
    Rule(CLUSTER, "properties.oidcIssuerProfile.enabled", (True,), "workload identity"),
    Rule(CLUSTER, "properties.securityProfile.workloadIdentity.enabled", (True,), "workload identity"),
    Rule(CLUSTER, "properties.agentPoolProfiles.[].enableAutoScaling", (True,), "scalability"),
    Rule(DATABRICKS, "properties.parameters.enableNoPublicIp.value", (True,)),
    Rule(AZUREML, "properties.systemDatastoresAuthMode", ("Identity",), "accounts without shared keys"),
    Rule(f"{AZUREML}/computes", "properties.disableLocalAuth", (True,)),
    Rule("Microsoft.Authorization/roleAssignments", "properties.principalType", ("ServicePrincipal",)),
    Rule("Microsoft.Authorization/roleDefinitions", "properties.permissions.[].actions.[]", SCALES),
    Rule("Microsoft.OperationalInsights/workspaces", "properties.features.disableLocalAuth", (True,)),
    Rule("Microsoft.Insights/components", "properties.DisableLocalAuth", (True,)),
    *map(_closable, (ACCOUNT, VAULT, REGISTRY, REDIS, AZUREML, DATABRICKS)),
    _closable("Microsoft.MachineLearningServices/registries"),
    _closable(SERVER, "properties.network.publicNetworkAccess"),
)

# None of the platform's programs needs these. https://learn.microsoft.com/azure/role-based-access-control/built-in-roles
TOO_WIDE = {
    "8e3af657-a8ff-443c-a75c-2fe8c4bcb635": "Owner",
    "b24988ac-6180-42a0-ab88-20f7382dd24c": "Contributor",
    "18d7d88d-d35e-4fb5-a5c3-7773c20a72d9": "User Access Administrator",
    "f58310d9-a9f6-439a-9e8d-f62e7b41a168": "Role Based Access Control Administrator",
}


def broken(resource: Resource) -> Iterator[str]:
    """Each rule that a resource breaks."""
    for rule in RULES:
        if rule.type == resource.type and not resource.existing:
            yield from _broken(rule, at(resource.body, rule.place))


def _broken(rule: Rule, found: list[Any]) -> Iterator[str]:
    if not found:
        yield f"{rule.place} is not set ({rule.source})"
    for value in found:
        if isinstance(value, Unknown) or value not in rule.values:
            shown = value.text if isinstance(value, Unknown) else repr(value)
            yield f"{rule.place} is {shown}, not {' or '.join(map(repr, rule.values))} ({rule.source})"
    if rule.closable and rule.values[0] not in found:
        yield f"{rule.place} can never be {rule.values[0]!r} ({rule.source})"
