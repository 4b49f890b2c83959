// The right to set the rules by which endpoints are scaled, which no built-in role has alone. Who owns the resource group
// makes it, before the first deployment: the identity that deploys gives roles and makes none. modules/roles.bicep gives
// it to runs.
targetScope = 'resourceGroup'

var group = resourceGroup().id

resource role 'Microsoft.Authorization/roleDefinitions@2022-04-01' = {
  name: guid(group, 'autoscale')
  properties: {
    roleName: 'ml_platform autoscale in ${resourceGroup().name}'
    description: 'Sets the rules by which Azure Monitor scales endpoints, and removes them.'
    type: 'CustomRole'
    permissions: [
      {
        actions: [
          'Microsoft.Insights/autoscaleSettings/read'
          'Microsoft.Insights/autoscaleSettings/write'
          'Microsoft.Insights/autoscaleSettings/delete'
        ]
      }
    ]
    assignableScopes: [group]
  }
}
