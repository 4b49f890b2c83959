// The lake, on which all tables, landed files and inference logs are, and the account that an Azure ML workspace needs for
// itself: that one must not have a hierarchical namespace.
param name string
param location string
param tags object
param redundancy string
param logRetentionDays int
param privateNetworking bool

var open = {
  allowBlobPublicAccess: false
  allowSharedKeyAccess: false
  allowCrossTenantReplication: false
  defaultToOAuthAuthentication: true
  minimumTlsVersion: 'TLS1_2'
  supportsHttpsTrafficOnly: true
  publicNetworkAccess: privateNetworking ? 'Disabled' : 'Enabled'
  networkAcls: {
    bypass: 'AzureServices'
    defaultAction: privateNetworking ? 'Deny' : 'Allow'
  }
}

resource lake 'Microsoft.Storage/storageAccounts@2026-09-01' = {
  name: take('lake${name}', 24)
  location: location
  tags: tags
  kind: 'StorageV2'
  sku: { name: redundancy }
  properties: union(open, { isHnsEnabled: true })
}

resource blobs 'Microsoft.Storage/storageAccounts/blobServices@2026-09-01' = {
  parent: lake
  name: 'default'
  properties: {
    deleteRetentionPolicy: { enabled: true, days: 14 }
    containerDeleteRetentionPolicy: { enabled: true, days: 14 }
  }
}

resource containers 'Microsoft.Storage/storageAccounts/blobServices/containers@2026-09-01' = [for container in ['lake', 'logs']: {
  parent: blobs
  name: container
  properties: { publicAccess: 'None' }
}]

resource lifecycle 'Microsoft.Storage/storageAccounts/managementPolicies@2026-09-01' = {
  parent: lake
  name: 'default'
  properties: {
    policy: {
      rules: [
        {
          // Logs of runs. What Dagster itself keeps of old ticks is set in the Helm values.
          name: 'delete-logs'
          type: 'Lifecycle'
          definition: {
            filters: { blobTypes: ['blockBlob', 'appendBlob'], prefixMatch: ['logs/'] }
            actions: { baseBlob: { delete: { daysAfterModificationGreaterThan: logRetentionDays } } }
          }
        }
        {
          // What jobs of Azure ML were asked and told, which nobody reads once their run has ended.
          name: 'delete-transport'
          type: 'Lifecycle'
          definition: {
            filters: { blobTypes: ['blockBlob'], prefixMatch: ['lake/pipes/azureml/'] }
            actions: { baseBlob: { delete: { daysAfterModificationGreaterThan: 7 } } }
          }
        }
        {
          // Landed files are read again only when somebody corrects history.
          name: 'cool-landing'
          type: 'Lifecycle'
          definition: {
            filters: { blobTypes: ['blockBlob'], prefixMatch: ['lake/landing/'] }
            actions: { baseBlob: { tierToCool: { daysAfterModificationGreaterThan: 90 } } }
          }
        }
      ]
    }
  }
}

resource workspace 'Microsoft.Storage/storageAccounts@2026-09-01' = {
  name: take('aml${name}', 24)
  location: location
  tags: tags
  kind: 'StorageV2'
  sku: { name: redundancy }
  properties: open
}

output lakeName string = lake.name
output lakeId string = lake.id
output workspaceId string = workspace.id
