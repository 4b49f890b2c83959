// The online store: Azure Managed Redis. Who comes, comes with a token of Entra: it has no keys.
param name string
param location string
param tags object
param sku string
param highAvailability bool
param privateNetworking bool
@description('Principals that may read and write: endpoints, and the Spark programs that fill it.')
param users array

resource cluster 'Microsoft.Cache/redisEnterprise@2025-07-01' = {
  name: 'redis-${name}'
  location: location
  tags: tags
  sku: { name: sku }
  properties: {
    highAvailability: highAvailability ? 'Enabled' : 'Disabled'
    minimumTlsVersion: '1.2'
    publicNetworkAccess: privateNetworking ? 'Disabled' : 'Enabled'
  }
}

resource database 'Microsoft.Cache/redisEnterprise/databases@2025-07-01' = {
  parent: cluster
  name: 'default'
  properties: {
    clientProtocol: 'Encrypted'
    clusteringPolicy: 'EnterpriseCluster'
    evictionPolicy: 'NoEviction'
    port: 10000
    accessKeysAuthentication: 'Disabled'
  }
}

@batchSize(1)
resource access 'Microsoft.Cache/redisEnterprise/databases/accessPolicyAssignments@2025-07-01' = [for user in users: {
  parent: database
  name: replace(user, '-', '')
  properties: {
    accessPolicyName: 'default'
    user: { objectId: user }
  }
}]

output id string = cluster.id
output uri string = 'rediss://${cluster.properties.hostName}:${database.properties.port}/0'
