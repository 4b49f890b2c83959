using 'main.bicep'

param name = 'mlp'
param environment = 'prod'
param privateNetworking = true
param host = readEnvironmentVariable('PUBLIC_HOST', 'ml-platform.example.com')
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
  highAvailability: true
  zones: ['1', '2', '3']
  logRetentionDays: 90
  postgres: { name: 'Standard_D4ds_v5', tier: 'GeneralPurpose' }
  redis: 'Balanced_B3'
  nodeSize: 'Standard_D4ds_v5'
  nodes: { min: 3, max: 6, runs: 16 }
  trainingSize: 'Standard_D8ds_v5'
  trainingNodes: 8
  endpointSize: 'Standard_D2as_v4'
  endpointInstances: 3
}
