// Where Dagster runs: web servers, daemon, code location and the pods of its runs.
param name string
param location string
param tags object
param privateNetworking bool
@description('Subnet of the nodes; empty without a private network.')
param subnetId string
param logsId string
param administrators object
param nodeSize string
param zones array
param nodes object

resource cluster 'Microsoft.ContainerService/managedClusters@2026-08-01' = {
  name: 'aks-${name}'
  location: location
  tags: tags
  sku: { name: 'Base', tier: 'Standard' }
  identity: { type: 'SystemAssigned' }
  properties: {
    dnsPrefix: name
    disableLocalAccounts: true
    enableRBAC: true
    aadProfile: { managed: true, enableAzureRBAC: true, adminGroupObjectIDs: [administrators.objectId] }
    oidcIssuerProfile: { enabled: true }
    securityProfile: {
      workloadIdentity: { enabled: true }
      imageCleaner: { enabled: true, intervalHours: 48 }
    }
    autoUpgradeProfile: { upgradeChannel: 'patch', nodeOSUpgradeChannel: 'NodeImage' }
    apiServerAccessProfile: { enablePrivateCluster: privateNetworking }
    networkProfile: {
      networkPlugin: 'azure'
      networkPluginMode: 'overlay'
      networkDataplane: 'cilium'
      networkPolicy: 'cilium'
      loadBalancerSku: 'standard'
    }
    ingressProfile: { webAppRouting: { enabled: true } }
    addonProfiles: {
      azureKeyvaultSecretsProvider: { enabled: true, config: { enableSecretRotation: 'true', rotationPollInterval: '5m' } }
      omsagent: { enabled: true, config: { logAnalyticsWorkspaceResourceID: logsId, useAADAuth: 'true' } }
    }
    agentPoolProfiles: [
      {
        name: 'system'
        mode: 'System'
        vmSize: nodeSize
        osSKU: 'AzureLinux'
        count: nodes.min
        minCount: nodes.min
        maxCount: nodes.max
        enableAutoScaling: true
        availabilityZones: zones
        vnetSubnetID: empty(subnetId) ? null : subnetId
      }
      {
        // Pods of runs come and go; nothing else is moved for them.
        name: 'runs'
        mode: 'User'
        vmSize: nodeSize
        osSKU: 'AzureLinux'
        count: 0
        minCount: 0
        maxCount: nodes.runs
        enableAutoScaling: true
        availabilityZones: zones
        nodeLabels: { pool: 'runs' }
        nodeTaints: ['pool=runs:NoSchedule']
        vnetSubnetID: empty(subnetId) ? null : subnetId
      }
    ]
  }
}

output name string = cluster.name
output principalId string = cluster.identity.principalId
output issuer string = cluster.properties.oidcIssuerProfile.issuerURL
output kubeletPrincipalId string = cluster.properties.identityProfile.kubeletidentity.objectId
