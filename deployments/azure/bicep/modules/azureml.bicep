// Training, tracking, models and endpoints.
param name string
param location string
param tags object
param privateNetworking bool
param storageId string
param vaultId string
param insightsId string
param registryId string
param lakeName string
@description('Identity of the compute that trains.')
param trainingIdentityId string
param trainingSize string
param trainingNodes int

resource workspace 'Microsoft.MachineLearningServices/workspaces@2025-12-01' = {
  name: 'mlw-${name}'
  location: location
  tags: tags
  identity: { type: 'SystemAssigned' }
  sku: { name: 'Basic', tier: 'Basic' }
  properties: {
    friendlyName: name
    storageAccount: storageId
    keyVault: vaultId
    applicationInsights: insightsId
    containerRegistry: registryId
    systemDatastoresAuthMode: 'Identity'
    publicNetworkAccess: privateNetworking ? 'Disabled' : 'Enabled'
    managedNetwork: { isolationMode: privateNetworking ? 'AllowInternetOutbound' : 'Disabled' }
  }
}

resource training 'Microsoft.MachineLearningServices/workspaces/computes@2025-12-01' = {
  parent: workspace
  name: 'training'
  location: location
  identity: {
    type: 'UserAssigned'
    userAssignedIdentities: { '${trainingIdentityId}': {} }
  }
  properties: {
    computeType: 'AmlCompute'
    disableLocalAuth: true
    properties: {
      vmSize: trainingSize
      vmPriority: 'Dedicated'
      remoteLoginPortPublicAccess: 'Disabled'
      enableNodePublicIp: !privateNetworking
      // No node while nothing trains; one stays ten minutes for the next trial.
      scaleSettings: { minNodeCount: 0, maxNodeCount: trainingNodes, nodeIdleTimeBeforeScaleDown: 'PT10M' }
    }
  }
}

resource lake 'Microsoft.MachineLearningServices/workspaces/datastores@2025-12-01' = {
  parent: workspace
  name: 'lake'
  properties: {
    datastoreType: 'AzureDataLakeGen2'
    accountName: lakeName
    filesystem: 'lake'
    credentials: { credentialsType: 'None' }
    serviceDataAccessAuthIdentity: 'WorkspaceSystemAssignedIdentity'
  }
}

// Models that staging has proven are offered to prod from here.
resource models 'Microsoft.MachineLearningServices/registries@2025-12-01' = {
  name: 'mlr-${name}'
  location: location
  tags: tags
  identity: { type: 'SystemAssigned' }
  properties: {
    publicNetworkAccess: privateNetworking ? 'Disabled' : 'Enabled'
    regionDetails: [
      {
        location: location
        acrDetails: [{ systemCreatedAcrAccount: { acrAccountSku: 'Premium' } }]
        storageAccountDetails: [
          { systemCreatedStorageAccount: { storageAccountType: 'Standard_LRS', storageAccountHnsEnabled: false } }
        ]
      }
    ]
  }
}

output id string = workspace.id
output principalId string = workspace.identity.principalId
output compute string = training.name
output datastore string = lake.name
output trackingUri string = workspace.properties.mlFlowTrackingUri
