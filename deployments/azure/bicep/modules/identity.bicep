// The identity of one program, so that each may do only what it needs. A pod proves who it is by its service account.
param name string
param location string
param tags object
@description('The cluster\'s issuer of tokens; empty for an identity that no pod uses.')
param issuer string = ''
@description('Service account in the namespace dagster.')
param serviceAccount string = ''

resource identity 'Microsoft.ManagedIdentity/userAssignedIdentities@2024-11-30' = {
  name: name
  location: location
  tags: tags
}

resource trust 'Microsoft.ManagedIdentity/userAssignedIdentities/federatedIdentityCredentials@2024-11-30' = if (!empty(serviceAccount)) {
  parent: identity
  name: 'kubernetes'
  properties: {
    issuer: issuer
    subject: 'system:serviceaccount:dagster:${serviceAccount}'
    audiences: ['api://AzureADTokenExchange']
  }
}

output id string = identity.id
output name string = identity.name
output clientId string = identity.properties.clientId
output principalId string = identity.properties.principalId
