// The option of a private network: nothing of the platform answers from outside of it.
param name string
param location string
param tags object
@description('Names of the private zones, one a kind of service that gets a private endpoint.')
param zones array

var delegation = [{ name: 'databricks', properties: { serviceName: 'Microsoft.Databricks/workspaces' } }]

resource databricks 'Microsoft.Network/networkSecurityGroups@2026-03-01' = {
  name: 'nsg-${name}-databricks'
  location: location
  tags: tags
}

resource address 'Microsoft.Network/publicIPAddresses@2026-03-01' = {
  name: 'pip-${name}'
  location: location
  tags: tags
  sku: { name: 'Standard' }
  properties: { publicIPAllocationMethod: 'Static' }
}

resource outbound 'Microsoft.Network/natGateways@2026-03-01' = {
  name: 'ng-${name}'
  location: location
  tags: tags
  sku: { name: 'Standard' }
  properties: { publicIpAddresses: [{ id: address.id }] }
}

resource network 'Microsoft.Network/virtualNetworks@2026-03-01' = {
  name: 'vnet-${name}'
  location: location
  tags: tags
  properties: {
    addressSpace: { addressPrefixes: ['10.20.0.0/16'] }
    subnets: [
      {
        name: 'cluster'
        properties: { addressPrefix: '10.20.0.0/20', natGateway: { id: outbound.id } }
      }
      {
        name: 'endpoints'
        properties: { addressPrefix: '10.20.16.0/24', privateEndpointNetworkPolicies: 'Enabled' }
      }
      {
        name: 'databricks-hosts'
        properties: {
          addressPrefix: '10.20.32.0/22'
          delegations: delegation
          natGateway: { id: outbound.id }
          networkSecurityGroup: { id: databricks.id }
        }
      }
      {
        name: 'databricks-containers'
        properties: {
          addressPrefix: '10.20.36.0/22'
          delegations: delegation
          natGateway: { id: outbound.id }
          networkSecurityGroup: { id: databricks.id }
        }
      }
    ]
  }
}

resource privateZones 'Microsoft.Network/privateDnsZones@2024-06-01' = [for zone in zones: {
  name: zone
  location: 'global'
  tags: tags
}]

resource links 'Microsoft.Network/privateDnsZones/virtualNetworkLinks@2024-06-01' = [for (zone, i) in zones: {
  parent: privateZones[i]
  name: name
  location: 'global'
  properties: { registrationEnabled: false, virtualNetwork: { id: network.id } }
}]

output name string = network.name
output clusterSubnetId string = '${network.id}/subnets/cluster'
output endpointsSubnetId string = '${network.id}/subnets/endpoints'
output databricks object = { id: network.id, hostSubnet: 'databricks-hosts', containerSubnet: 'databricks-containers' }
