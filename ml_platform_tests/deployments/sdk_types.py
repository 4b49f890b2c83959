"""The types of the other providers: the models of Microsoft's own management libraries, of exactly one API version.

They are made from the same specifications as Bicep's types. A library says which version it is of in its own code.
"""

import re
from enum import Enum
from functools import lru_cache, partial
from importlib import import_module
from pathlib import Path
from types import ModuleType, NoneType, UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

from ml_platform_tests.deployments import msrest_types
from ml_platform_tests.deployments.shapes import Anything, Items, Property, Record, Scalar, Shape, Variants, Words

# Each type of resource that the templates use: its library, and the model of what is PUT.
MODELS = {
    "Microsoft.Authorization/roleAssignments": ("authorization.v2022_04_01", "RoleAssignmentCreateParameters"),
    "Microsoft.Authorization/roleDefinitions": ("authorization.v2022_04_01", "RoleDefinition"),
    "Microsoft.ContainerRegistry/registries": ("containerregistry", "Registry"),
    "Microsoft.ContainerService/managedClusters": ("containerservice", "ManagedCluster"),
    "Microsoft.Cache/redisEnterprise": ("redisenterprise", "Cluster"),
    "Microsoft.Cache/redisEnterprise/databases": ("redisenterprise", "Database"),
    "Microsoft.Cache/redisEnterprise/databases/accessPolicyAssignments": ("redisenterprise", "AccessPolicyAssignment"),
    "Microsoft.Databricks/accessConnectors": ("databricks", "AccessConnector"),
    "Microsoft.Databricks/workspaces": ("databricks", "Workspace"),
    "Microsoft.DBforPostgreSQL/flexibleServers": ("postgresqlflexibleservers", "Server"),
    "Microsoft.DBforPostgreSQL/flexibleServers/administrators": (
        "postgresqlflexibleservers",
        "AdministratorMicrosoftEntraAdd",
    ),
    "Microsoft.DBforPostgreSQL/flexibleServers/configurations": ("postgresqlflexibleservers", "Configuration"),
    "Microsoft.DBforPostgreSQL/flexibleServers/databases": ("postgresqlflexibleservers", "Database"),
    "Microsoft.DBforPostgreSQL/flexibleServers/firewallRules": ("postgresqlflexibleservers", "FirewallRule"),
    "Microsoft.Insights/components": ("applicationinsights.v2020_02_02", "ApplicationInsightsComponent"),
    "Microsoft.KeyVault/vaults": ("keyvault", "VaultCreateOrUpdateParameters"),
    "Microsoft.KeyVault/vaults/secrets": ("keyvault", "SecretCreateOrUpdateParameters"),
    "Microsoft.ManagedIdentity/userAssignedIdentities": ("msi.v2024_11_30", "Identity"),
    "Microsoft.ManagedIdentity/userAssignedIdentities/federatedIdentityCredentials": (
        "msi.v2024_11_30",
        "FederatedIdentityCredential",
    ),
    "Microsoft.Network/networkSecurityGroups": ("network", "NetworkSecurityGroup"),
    "Microsoft.Network/natGateways": ("network", "NatGateway"),
    "Microsoft.Network/publicIPAddresses": ("network", "PublicIPAddress"),
    "Microsoft.Network/privateDnsZones": ("privatedns", "PrivateZone"),
    "Microsoft.Network/privateDnsZones/virtualNetworkLinks": ("privatedns", "VirtualNetworkLink"),
    "Microsoft.Network/privateEndpoints": ("network", "PrivateEndpoint"),
    "Microsoft.Network/privateEndpoints/privateDnsZoneGroups": ("network", "PrivateDnsZoneGroup"),
    "Microsoft.Network/virtualNetworks": ("network", "VirtualNetwork"),
    "Microsoft.OperationalInsights/workspaces": ("loganalytics", "Workspace"),
    "Microsoft.Storage/storageAccounts": ("storage", "StorageAccountCreateParameters"),
    "Microsoft.Storage/storageAccounts/blobServices": ("storage", "BlobServiceProperties"),
    "Microsoft.Storage/storageAccounts/blobServices/containers": ("storage", "BlobContainer"),
    "Microsoft.Storage/storageAccounts/managementPolicies": ("storage", "ManagementPolicy"),
}


def version(kind: str) -> str:
    """The API version whose types the installed library holds."""
    return _version(MODELS[kind][0])


@lru_cache
def _version(library: str) -> str:
    if ".v" in library:
        return library.partition(".v")[2].replace("_", "-")
    folder = Path(str(import_module(f"azure.mgmt.{library}").__file__)).parent
    for file in (folder / "_configuration.py", folder / "operations" / "_operations.py"):
        found = re.findall(r'api[_-]version", "(\d{4}-\d\d-\d\d(?:-preview)?)"', file.read_text())
        if found:
            return max(found, key=found.count)
    raise LookupError(f"azure-mgmt-{library} says nowhere which API version it is of: look at a newer one's layout")


def resource_shape(kind: str) -> Shape:
    """The type of a resource's body."""
    library, model = MODELS[kind]
    models = _models(library)
    if hasattr(getattr(models, model), "_attribute_map"):
        return msrest_types.record(models, getattr(models, model))
    return _record(models, getattr(models, model))


@lru_cache
def _models(library: str) -> ModuleType:
    public = import_module(f"azure.mgmt.{library}.models")
    if not (Path(str(public.__file__)).parent / "_models.py").exists():
        return public
    # `azure.mgmt.X.models` hides the base types that its models name, the module below it has no enumerations.
    everything = ModuleType(library)
    vars(everything).update(vars(import_module(f"{public.__name__}._models")) | vars(public))
    return everything


@lru_cache
def _record(models: ModuleType, model: Any) -> Shape:
    # The fields of a model are put together when the first one is made.
    model.__new__(model)
    names = {**vars(models), "_models": models, "_types": models}
    hints = get_type_hints(model, globalns=names)
    properties = {}
    for attribute, rest in model._attr_to_rest_field.items():
        hint = hints[attribute]
        if rest._is_discriminator and getattr(model, "__mapping__", None) and model.__mapping__:
            kinds = {str(getattr(k, "value", k)): partial(_record, models, m) for k, m in model.__mapping__.items()}
            if model not in model.__mapping__.values():
                return Variants(rest._rest_name, kinds)
        properties[rest._rest_name] = Property(
            partial(_shape, models, hint),
            required=NoneType not in get_args(hint),
            read_only=rest._visibility == ["read"],
        )
    return Record(properties)


def _shape(models: ModuleType, hint: Any) -> Shape:
    origin, arguments = get_origin(hint), [a for a in get_args(hint) if a is not NoneType]
    if origin in (Union, UnionType):
        enums = [a for a in arguments if isinstance(a, type) and issubclass(a, Enum)]
        if enums:
            return Words(tuple(member.value for member in enums[0]))
        return _shape(models, arguments[0]) if len(arguments) == 1 else Anything()
    if origin is list:
        return Items(partial(_shape, models, arguments[0]))
    if origin is dict:
        return Record({}, _shape(models, arguments[1]))
    if hint in (int, bool):
        return Scalar(hint)
    if hasattr(hint, "_attr_to_rest_field") or hasattr(hint, "_deserialize"):
        return _record(models, hint)
    if isinstance(hint, type) and issubclass(hint, Enum):
        return Words(tuple(member.value for member in hint))
    return Words() if hint is str else Anything()
