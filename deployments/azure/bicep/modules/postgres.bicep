// Dagster's storage. Whoever comes, people and pods, comes with a token of Entra: there is no password.
param name string
param location string
param tags object
param sku object
param highAvailability bool
param privateNetworking bool
@description('Entra group that may administer the database.')
param administrators object

resource server 'Microsoft.DBforPostgreSQL/flexibleServers@2026-10-01' = {
  name: 'psql-${name}'
  location: location
  tags: tags
  sku: sku
  properties: {
    version: '17'
    authConfig: {
      activeDirectoryAuth: 'Enabled'
      passwordAuth: 'Disabled'
      tenantId: tenant().tenantId
    }
    storage: { storageSizeGB: 64, autoGrow: 'Enabled' }
    backup: { backupRetentionDays: 14, geoRedundantBackup: 'Disabled' }
    highAvailability: { mode: highAvailability ? 'ZoneRedundant' : 'Disabled' }
    network: { publicNetworkAccess: privateNetworking ? 'Disabled' : 'Enabled' }
  }
}

resource database 'Microsoft.DBforPostgreSQL/flexibleServers/databases@2026-10-01' = {
  parent: server
  name: 'dagster'
  properties: { charset: 'UTF8', collation: 'en_US.utf8' }
}

resource admins 'Microsoft.DBforPostgreSQL/flexibleServers/administrators@2026-10-01' = {
  parent: server
  name: administrators.objectId
  properties: {
    principalName: administrators.name
    principalType: 'Group'
    tenantId: tenant().tenantId
  }
  dependsOn: [database]
}

resource tls 'Microsoft.DBforPostgreSQL/flexibleServers/configurations@2026-10-01' = {
  parent: server
  name: 'ssl_min_protocol_version'
  properties: { value: 'TLSv1.2', source: 'user-override' }
  dependsOn: [admins]
}

// Without a private network the cluster comes from Azure's own addresses.
resource azure 'Microsoft.DBforPostgreSQL/flexibleServers/firewallRules@2026-10-01' = if (!privateNetworking) {
  parent: server
  name: 'azure'
  properties: { startIpAddress: '0.0.0.0', endIpAddress: '0.0.0.0' }
  dependsOn: [tls]
}

output id string = server.id
output host string = server.properties.fullyQualifiedDomainName
