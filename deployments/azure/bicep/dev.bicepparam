using 'main.bicep'

param name = 'mlp'
param environment = 'dev'
param privateNetworking = false
param host = readEnvironmentVariable('PUBLIC_HOST', 'ml-platform-dev.example.com')
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
  redundancy: 'Standard_LRS'
  highAvailability: false
  zones: []
  logRetentionDays: 30
  postgres: { name: 'Standard_B2s', tier: 'Burstable' }
  redis: 'Balanced_B0'
  nodeSize: 'Standard_D4ds_v5'
  nodes: { min: 1, max: 3, runs: 4 }
  trainingSize: 'Standard_D8ds_v5'
  trainingNodes: 2
  endpointSize: 'Standard_D2as_v4'
  endpointInstances: 1
}
