// Spark. The access connector is the identity with which Unity Catalog reads and writes the lake.
param name string
param location string
param tags object
param privateNetworking bool
@description('Network of the clusters, with the names of its two subnets; empty without a private network.')
param network object

var base = {
  computeMode: 'Hybrid'
  managedResourceGroupId: '${subscription().id}/resourceGroups/rg-${name}-databricks'
  publicNetworkAccess: privateNetworking ? 'Disabled' : 'Enabled'
}

resource workspace 'Microsoft.Databricks/workspaces@2026-01-01' = {
  name: 'dbw-${name}'
  location: location
  tags: tags
  sku: { name: 'premium' }
  properties: privateNetworking
    ? union(base, {
        requiredNsgRules: 'NoAzureDatabricksRules'
        parameters: {
          enableNoPublicIp: { value: true }
          customVirtualNetworkId: { value: network.id }
          customPublicSubnetName: { value: network.hostSubnet }
          customPrivateSubnetName: { value: network.containerSubnet }
        }
      })
    : union(base, { parameters: { enableNoPublicIp: { value: true } } })
}

resource connector 'Microsoft.Databricks/accessConnectors@2026-01-01' = {
  name: 'dbac-${name}'
  location: location
  tags: tags
  identity: { type: 'SystemAssigned' }
  properties: {}
}

output id string = workspace.id
output host string = 'https://${workspace.properties.workspaceUrl}'
output connectorId string = connector.id
output connectorPrincipalId string = connector.identity.principalId
