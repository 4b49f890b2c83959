using 'main.bicep'

param name = 'mlp'
param environment = 'staging'
param privateNetworking = false
param host = readEnvironmentVariable('PUBLIC_HOST', 'ml-platform-staging.example.com')
param environmentVersion = readEnvironmentVariable('ENVIRONMENT_VERSION', '1')
param administrators = {
  objectId: readEnvironmentVariable('ADMINISTRATORS_GROUP_ID')
  name: readEnvironmentVariable('ADMINISTRATORS_GROUP_NAME')
}
param signIn = {
  clientId: readEnvironmentVariable('SIGN_IN_CLIENT_ID')
  operators: readEnvironmentVariable('SIGN_IN_OPERATORS_GROUP_ID')
  readers: readEnvironmentVariable('SIGN_IN_READERS_GROUP_ID')
}
param alertUrls = readEnvironmentVariable('ALERT_URLS', '')
param size = {
  redundancy: 'Standard_ZRS'
  highAvailability: false
  zones: ['1', '2', '3']
  logRetentionDays: 30
  postgres: { name: 'Standard_D2ds_v5', tier: 'GeneralPurpose' }
  redis: 'Balanced_B1'
  nodeSize: 'Standard_D4ds_v5'
  nodes: { min: 2, max: 4, runs: 8 }
  trainingSize: 'Standard_D8ds_v5'
  trainingNodes: 4
  endpointSize: 'Standard_D2as_v4'
  endpointInstances: 2
}
