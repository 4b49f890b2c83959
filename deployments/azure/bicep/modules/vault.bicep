// What cannot be an identity's token: the key of the sign-in's cookies, and the addresses of alerts.
param name string
param location string
param tags object
param privateNetworking bool
@secure()
param alertUrls string
@secure()
param cookieSecret string

resource vault 'Microsoft.KeyVault/vaults@2026-05-15' = {
  name: take('kv-${name}', 24)
  location: location
  tags: tags
  properties: {
    tenantId: tenant().tenantId
    sku: { family: 'A', name: 'standard' }
    enableRbacAuthorization: true
    enablePurgeProtection: true
    enableSoftDelete: true
    softDeleteRetentionInDays: 90
    publicNetworkAccess: privateNetworking ? 'Disabled' : 'Enabled'
    networkAcls: {
      bypass: 'AzureServices'
      defaultAction: privateNetworking ? 'Deny' : 'Allow'
    }
  }
}

resource alerts 'Microsoft.KeyVault/vaults/secrets@2026-05-15' = {
  parent: vault
  name: 'alert-urls'
  // The vault keeps no empty secret; a blank is no address.
  properties: { value: empty(alertUrls) ? ' ' : alertUrls }
}

resource cookie 'Microsoft.KeyVault/vaults/secrets@2026-05-15' = {
  parent: vault
  name: 'cookie-secret'
  properties: { value: cookieSecret }
}

output id string = vault.id
output name string = vault.name
