// Who may do what: each right on the smallest thing that it is needed for.
param lakeName string
param workspaceName string
param registryName string
param vaultName string
@description('The private network, empty where there is none: the cluster puts its load balancers into it.')
param networkName string
param clusterPrincipalId string
@description('The identity of endpoints, and who makes endpoints: that one may give it to them.')
param servingIdentityName string
param runPrincipalId string
@description('Rights on the container lake: objects with principal and role. So are the others.')
param lake array
param logs array
param workspace array
param registry array
@description('Who reads which secret: objects with principal and secret.')
param secrets array

// https://learn.microsoft.com/azure/role-based-access-control/built-in-roles
var roles = {
  blobReader: '2a2b9908-6ea1-4ae2-8e65-a410df84e7d1'
  blobContributor: 'ba92f5b4-2d11-453d-a403-e96b0029c9fe'
  dataScientist: 'f6c7c914-8db3-469d-8ca1-694a8f32e121'
  identityOperator: 'f1a07417-d97a-45cb-824c-7a7467783830'
  imagePuller: '7f951dda-4ed3-4680-a7ca-43fe172d538d'
  networkContributor: '4d97b98b-1d4f-4787-a291-c67834d212e7'
  reader: 'acdd72a7-3385-48ef-bd42-f606fba81ae7'
  secretsUser: '4633458b-17de-408a-b874-0445c86b69e6'
}
var definitions = 'Microsoft.Authorization/roleDefinitions'

resource account 'Microsoft.Storage/storageAccounts@2026-09-01' existing = {
  name: lakeName
}

resource blobs 'Microsoft.Storage/storageAccounts/blobServices@2026-09-01' existing = {
  parent: account
  name: 'default'
}

resource lakeContainer 'Microsoft.Storage/storageAccounts/blobServices/containers@2026-09-01' existing = {
  parent: blobs
  name: 'lake'
}

resource logsContainer 'Microsoft.Storage/storageAccounts/blobServices/containers@2026-09-01' existing = {
  parent: blobs
  name: 'logs'
}

resource aml 'Microsoft.MachineLearningServices/workspaces@2025-12-01' existing = {
  name: workspaceName
}

resource images 'Microsoft.ContainerRegistry/registries@2025-11-01' existing = {
  name: registryName
}

resource vault 'Microsoft.KeyVault/vaults@2026-05-15' existing = {
  name: vaultName
}

resource vaultSecrets 'Microsoft.KeyVault/vaults/secrets@2026-05-15' existing = [for right in secrets: {
  parent: vault
  name: right.secret
}]

resource lakeRights 'Microsoft.Authorization/roleAssignments@2022-04-01' = [for right in lake: {
  name: guid(lakeContainer.id, right.principal, right.role)
  scope: lakeContainer
  properties: {
    principalId: right.principal
    principalType: 'ServicePrincipal'
    roleDefinitionId: subscriptionResourceId(definitions, roles[right.role])
  }
}]

resource logsRights 'Microsoft.Authorization/roleAssignments@2022-04-01' = [for right in logs: {
  name: guid(logsContainer.id, right.principal, right.role)
  scope: logsContainer
  properties: {
    principalId: right.principal
    principalType: 'ServicePrincipal'
    roleDefinitionId: subscriptionResourceId(definitions, roles[right.role])
  }
}]

resource workspaceRights 'Microsoft.Authorization/roleAssignments@2022-04-01' = [for right in workspace: {
  name: guid(aml.id, right.principal, right.role)
  scope: aml
  properties: {
    principalId: right.principal
    principalType: 'ServicePrincipal'
    roleDefinitionId: subscriptionResourceId(definitions, roles[right.role])
  }
}]

resource registryRights 'Microsoft.Authorization/roleAssignments@2022-04-01' = [for right in registry: {
  name: guid(images.id, right.principal, right.role)
  scope: images
  properties: {
    principalId: right.principal
    principalType: 'ServicePrincipal'
    roleDefinitionId: subscriptionResourceId(definitions, roles[right.role])
  }
}]

resource secretRights 'Microsoft.Authorization/roleAssignments@2022-04-01' = [for (right, i) in secrets: {
  name: guid(vault.id, right.secret, right.principal)
  scope: vaultSecrets[i]
  properties: {
    principalId: right.principal
    principalType: 'ServicePrincipal'
    roleDefinitionId: subscriptionResourceId(definitions, roles.secretsUser)
  }
}]

resource network 'Microsoft.Network/virtualNetworks@2026-03-01' existing = if (!empty(networkName)) {
  name: networkName
}

resource networkRight 'Microsoft.Authorization/roleAssignments@2022-04-01' = if (!empty(networkName)) {
  name: guid(network.id, clusterPrincipalId)
  scope: network
  properties: {
    principalId: clusterPrincipalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: subscriptionResourceId(definitions, roles.networkContributor)
  }
}

// Settings of autoscaling belong to the resource group. The role is that of ../autoscale-role.bicep.
resource autoscaleRight 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(resourceGroup().id, runPrincipalId, 'autoscale')
  properties: {
    principalId: runPrincipalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: subscriptionResourceId(definitions, guid(resourceGroup().id, 'autoscale'))
  }
}

resource servingIdentity 'Microsoft.ManagedIdentity/userAssignedIdentities@2024-11-30' existing = {
  name: servingIdentityName
}

resource servingIdentityRight 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(servingIdentity.id, runPrincipalId)
  scope: servingIdentity
  properties: {
    principalId: runPrincipalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: subscriptionResourceId(definitions, roles.identityOperator)
  }
}
