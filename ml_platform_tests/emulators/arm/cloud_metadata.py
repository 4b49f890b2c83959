"""The cloud's metadata: where its services are. azure-ai-ml and azureml-mlflow read it from ARM_CLOUD_METADATA_URL."""

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from ml_platform_tests.emulators.process import CLOUD_NAME
from ml_platform_tests.emulators.recording import KnownRoute

# What GET https://management.azure.com/metadata/endpoints?api-version=2022-09-01 answers, less what no SDK here reads.
ENDPOINTS = {
    "portal": "https://portal.azure.com",
    "graph": "https://graph.windows.net/",
    "graphAudience": "https://graph.windows.net/",
    "microsoftGraphResourceId": "https://graph.microsoft.com/",
    "batch": "https://batch.core.windows.net/",
    "gallery": "https://gallery.azure.com/",
    "media": "https://rest.media.azure.net",
    "sqlManagement": "https://management.core.windows.net:8443/",
    "vmImageAliasDoc": "https://raw.githubusercontent.com/Azure/azure-rest-api-specs/master/arm-compute/aliases.json",
    "activeDirectoryDataLake": "https://datalake.azure.net/",
    "ossrdbmsResourceId": "https://ossrdbms-aad.database.windows.net",
    "logAnalyticsResourceId": "https://api.loganalytics.io",
    "appInsightsResourceId": "https://api.applicationinsights.io",
    "appInsightsTelemetryChannelResourceId": "https://dc.applicationinsights.azure.com/v2/track",
    "synapseAnalyticsResourceId": "https://dev.azuresynapse.net",
    "attestationResourceId": "https://attest.azure.net",
}
SUFFIXES = {
    "storage": "core.windows.net",
    "storageSyncEndpointSuffix": "afs.azure.net",
    "keyVaultDns": "vault.azure.net",
    "mhsmDns": "managedhsm.azure.net",
    "sqlServerHostname": "database.windows.net",
    "mysqlServerEndpoint": "mysql.database.azure.com",
    "postgresqlServerEndpoint": "postgres.database.azure.com",
    "mariadbServerEndpoint": "mariadb.database.azure.com",
    "azureDataLakeStoreFileSystem": "azuredatalakestore.net",
    "azureDataLakeAnalyticsCatalogAndJob": "azuredatalakeanalytics.net",
    "acrLoginServer": "azurecr.io",
    "synapseAnalytics": "dev.azuresynapse.net",
    "attestationEndpoint": "attest.azure.net",
}


async def endpoints(request: Request) -> Response:
    """A list of one cloud, whose resource manager and login endpoint are this emulator."""
    address = request.app.state.arm.address
    authentication = {
        "loginEndpoint": address,
        "audiences": [f"{address}/", "https://management.azure.com/"],
        "tenant": "common",
        "identityProvider": "AAD",
    }
    here = {"name": CLOUD_NAME, "resourceManager": address, "authentication": authentication, "suffixes": SUFFIXES}
    return JSONResponse([{**here, **ENDPOINTS}])


def cloud_metadata_routes() -> list[KnownRoute]:
    return [KnownRoute("/metadata/endpoints", endpoints)]
