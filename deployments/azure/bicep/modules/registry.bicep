// Images of the code location, the training and the scoring server.
param name string
param location string
param tags object
param privateNetworking bool
param zoneRedundant bool

resource registry 'Microsoft.ContainerRegistry/registries@2025-11-01' = {
  name: 'cr${name}'
  location: location
  tags: tags
  sku: { name: 'Premium' }
  properties: {
    adminUserEnabled: false
    anonymousPullEnabled: false
    publicNetworkAccess: privateNetworking ? 'Disabled' : 'Enabled'
    zoneRedundancy: zoneRedundant ? 'Enabled' : 'Disabled'
    policies: { retentionPolicy: { status: 'enabled', days: 30 } }
  }
}

output id string = registry.id
output server string = registry.properties.loginServer
