// Everything of one environment of ml_platform, in one resource group. docs/deploy-on-azure.md walks through it.
targetScope = 'resourceGroup'

@description('Short name of the installation; part of every name.')
@minLength(2)
@maxLength(8)
param name string
@allowed(['dev', 'staging', 'prod'])
param environment string
param location string = resourceGroup().location
@description('True: the services answer only in a network of their own.')
param privateNetworking bool = false
@description('Entra group that administers cluster and database: objectId and name.')
param administrators object
@description('How large, how redundant. The files of parameters say it for each environment.')
param size object
@description('Application of the sign-in proxy, and the groups that may use and that may only look.')
param signIn object
@description('Where people open Dagster: name of the host.')
param host string
@description('Version of the environments training and scoring in Azure ML.')
param environmentVersion string = '1'
@description('Where alerts go, URLs of Apprise separated by blanks; empty: they are only kept.')
@secure()
param alertUrls string = ''
@secure()
param cookieSecret string = replace(newGuid(), '-', '')

var full = '${name}-${environment}'
var short = '${name}${environment}${take(uniqueString(resourceGroup().id), 6)}'
var tags = { platform: 'ml_platform', environment: environment }
var suffix = az.environment().suffixes.storage
var zones = {
  blob: 'privatelink.blob.${suffix}'
  dfs: 'privatelink.dfs.${suffix}'
  file: 'privatelink.file.${suffix}'
  vault: 'privatelink.vaultcore.azure.net'
  registry: 'privatelink.azurecr.io'
  postgres: 'privatelink.postgres.database.azure.com'
  redis: 'privatelink.redis.azure.net'
  databricks: 'privatelink.azuredatabricks.net'
  azureml: 'privatelink.api.azureml.ms'
  notebooks: 'privatelink.notebooks.azure.net'
}

module network 'modules/network.bicep' = if (privateNetworking) {
  name: 'network'
  params: {
    name: full
    location: location
    tags: tags
    zones: map(items(zones), zone => zone.value)
  }
}

module monitoring 'modules/monitoring.bicep' = {
  name: 'monitoring'
  params: { name: full, location: location, tags: tags, retentionDays: size.logRetentionDays }
}

module storage 'modules/storage.bicep' = {
  name: 'storage'
  params: {
    name: short
    location: location
    tags: tags
    redundancy: size.redundancy
    logRetentionDays: size.logRetentionDays
    privateNetworking: privateNetworking
  }
}

module vault 'modules/vault.bicep' = {
  name: 'vault'
  params: {
    name: short
    location: location
    tags: tags
    privateNetworking: privateNetworking
    alertUrls: alertUrls
    cookieSecret: cookieSecret
  }
}

module registry 'modules/registry.bicep' = {
  name: 'registry'
  params: {
    name: short
    location: location
    tags: tags
    privateNetworking: privateNetworking
    zoneRedundant: size.highAvailability
  }
}

module postgres 'modules/postgres.bicep' = {
  name: 'postgres'
  params: {
    name: short
    location: location
    tags: tags
    sku: size.postgres
    highAvailability: size.highAvailability
    privateNetworking: privateNetworking
    administrators: administrators
  }
}

module redis 'modules/redis.bicep' = {
  name: 'redis'
  params: {
    name: short
    location: location
    tags: tags
    sku: size.redis
    highAvailability: size.highAvailability
    privateNetworking: privateNetworking
    users: [serving.outputs.principalId, databricks.outputs.connectorPrincipalId]
  }
}

module databricks 'modules/databricks.bicep' = {
  name: 'databricks'
  params: {
    name: full
    location: location
    tags: tags
    privateNetworking: privateNetworking
    network: privateNetworking ? network!.outputs.databricks : {}
  }
}

module cluster 'modules/cluster.bicep' = {
  name: 'cluster'
  params: {
    name: full
    location: location
    tags: tags
    privateNetworking: privateNetworking
    subnetId: privateNetworking ? network!.outputs.clusterSubnetId : ''
    logsId: monitoring.outputs.logsId
    administrators: administrators
    nodeSize: size.nodeSize
    zones: size.zones
    nodes: size.nodes
  }
}

module azureml 'modules/azureml.bicep' = {
  name: 'azureml'
  params: {
    name: full
    location: location
    tags: tags
    privateNetworking: privateNetworking
    storageId: storage.outputs.workspaceId
    vaultId: vault.outputs.id
    insightsId: monitoring.outputs.insightsId
    registryId: registry.outputs.id
    lakeName: storage.outputs.lakeName
    trainingIdentityId: training.outputs.id
    trainingSize: size.trainingSize
    trainingNodes: size.trainingNodes
  }
}

// The programs: web servers and daemon; the web server that only shows; the code location; the pods of runs.
module web 'modules/identity.bicep' = {
  name: 'identity-web'
  params: { name: 'id-${full}-web', location: location, tags: tags, issuer: cluster.outputs.issuer, serviceAccount: 'dagster' }
}

module reader 'modules/identity.bicep' = {
  name: 'identity-reader'
  params: {
    name: 'id-${full}-reader'
    location: location
    tags: tags
    issuer: cluster.outputs.issuer
    serviceAccount: 'web-server-read-only'
  }
}

module code 'modules/identity.bicep' = {
  name: 'identity-code'
  params: { name: 'id-${full}-code', location: location, tags: tags, issuer: cluster.outputs.issuer, serviceAccount: 'code-location' }
}

module run 'modules/identity.bicep' = {
  name: 'identity-run'
  params: { name: 'id-${full}-run', location: location, tags: tags, issuer: cluster.outputs.issuer, serviceAccount: 'run' }
}

module signInProxy 'modules/identity.bicep' = {
  name: 'identity-sign-in'
  params: { name: 'id-${full}-sign-in', location: location, tags: tags, issuer: cluster.outputs.issuer, serviceAccount: 'sign-in' }
}

module training 'modules/identity.bicep' = {
  name: 'identity-training'
  params: { name: 'id-${full}-training', location: location, tags: tags }
}

module serving 'modules/identity.bicep' = {
  name: 'identity-serving'
  params: { name: 'id-${full}-serving', location: location, tags: tags }
}

module roles 'modules/roles.bicep' = {
  name: 'roles'
  params: {
    lakeName: storage.outputs.lakeName
    workspaceName: last(split(azureml.outputs.id, '/'))
    registryName: last(split(registry.outputs.id, '/'))
    vaultName: vault.outputs.name
    networkName: privateNetworking ? network!.outputs.name : ''
    clusterPrincipalId: cluster.outputs.principalId
    servingIdentityName: serving.outputs.name
    runPrincipalId: run.outputs.principalId
    lake: [
      { principal: code.outputs.principalId, role: 'blobReader' } // what has landed
      { principal: run.outputs.principalId, role: 'blobContributor' }
      { principal: training.outputs.principalId, role: 'blobContributor' } // features in, models out
      { principal: serving.outputs.principalId, role: 'blobContributor' } // models in, inference log out
      { principal: databricks.outputs.connectorPrincipalId, role: 'blobContributor' }
      { principal: azureml.outputs.principalId, role: 'blobReader' } // model monitors
    ]
    logs: [
      { principal: run.outputs.principalId, role: 'blobContributor' }
      { principal: code.outputs.principalId, role: 'blobContributor' }
      { principal: web.outputs.principalId, role: 'blobReader' }
      { principal: reader.outputs.principalId, role: 'blobReader' }
    ]
    workspace: [
      { principal: run.outputs.principalId, role: 'dataScientist' }
      { principal: training.outputs.principalId, role: 'dataScientist' }
      { principal: code.outputs.principalId, role: 'reader' }
      { principal: serving.outputs.principalId, role: 'reader' }
    ]
    registry: [
      { principal: cluster.outputs.kubeletPrincipalId, role: 'imagePuller' }
      { principal: azureml.outputs.principalId, role: 'imagePuller' }
      { principal: training.outputs.principalId, role: 'imagePuller' }
      { principal: serving.outputs.principalId, role: 'imagePuller' }
    ]
    secrets: [
      { principal: code.outputs.principalId, secret: 'alert-urls' }
      { principal: signInProxy.outputs.principalId, secret: 'cookie-secret' }
    ]
  }
}

module endpoints 'modules/endpoints.bicep' = if (privateNetworking) {
  name: 'endpoints'
  params: {
    name: full
    location: location
    tags: tags
    subnetId: network!.outputs.endpointsSubnetId
    services: [
      { name: 'lake-blob', id: storage.outputs.lakeId, group: 'blob', zones: [zones.blob] }
      { name: 'lake-dfs', id: storage.outputs.lakeId, group: 'dfs', zones: [zones.dfs] }
      { name: 'aml-blob', id: storage.outputs.workspaceId, group: 'blob', zones: [zones.blob] }
      { name: 'aml-file', id: storage.outputs.workspaceId, group: 'file', zones: [zones.file] }
      { name: 'vault', id: vault.outputs.id, group: 'vault', zones: [zones.vault] }
      { name: 'registry', id: registry.outputs.id, group: 'registry', zones: [zones.registry] }
      { name: 'postgres', id: postgres.outputs.id, group: 'postgresqlServer', zones: [zones.postgres] }
      { name: 'redis', id: redis.outputs.id, group: 'redisEnterprise', zones: [zones.redis] }
      { name: 'databricks', id: databricks.outputs.id, group: 'databricks_ui_api', zones: [zones.databricks] }
      { name: 'azureml', id: azureml.outputs.id, group: 'amlworkspace', zones: [zones.azureml, zones.notebooks] }
    ]
  }
}

@description('The settings of ml_platform, as environment variables: they become the ConfigMap of its pods.')
output settings object = {
  ML_PLATFORM_LAKE_URI: 'abfss://lake@${storage.outputs.lakeName}.dfs.${suffix}'
  ML_PLATFORM_MLFLOW_TRACKING_URI: azureml.outputs.trackingUri
  ML_PLATFORM_MLFLOW_UI: 'https://ml.azure.com/experiments?wsid=${azureml.outputs.id}'
  ML_PLATFORM_DAGSTER_UI: 'https://${host}'
  ML_PLATFORM_ONLINE_STORE_URI: redis.outputs.uri
  ML_PLATFORM_DATABRICKS_HOST: databricks.outputs.host
  ML_PLATFORM_DATABRICKS_VOLUME: '/Volumes/ml_platform_${environment}/platform/transport'
  // Serverless compute has no service credential of its own, with which programs come to the online store.
  ML_PLATFORM_DATABRICKS_COMPUTE: '/app/deployments/azure/databricks/new-cluster.yaml'
  ML_PLATFORM_DATABRICKS_TIMEOUT_MINUTES: '120'
  ML_PLATFORM_AZUREML_WORKSPACE: azureml.outputs.id
  ML_PLATFORM_AZUREML_COMPUTE: azureml.outputs.compute
  ML_PLATFORM_AZUREML_DATASTORE: azureml.outputs.datastore
  ML_PLATFORM_AZUREML_TRAINING_ENVIRONMENT: 'azureml:ml-platform-training:${environmentVersion}'
  ML_PLATFORM_AZUREML_SCORING_ENVIRONMENT: 'azureml:ml-platform-scoring:${environmentVersion}'
  ML_PLATFORM_AZUREML_INSTANCE_TYPE: size.endpointSize
  ML_PLATFORM_AZUREML_INSTANCES: string(size.endpointInstances)
  ML_PLATFORM_AZUREML_ENDPOINT_IDENTITY: serving.outputs.id
  ML_PLATFORM_AZUREML_TIMEOUT_MINUTES: '240'
}

@description('What the files of Kubernetes, Azure ML and Databricks name as a variable.')
output names object = {
  TENANT_ID: tenant().tenantId
  HOST: host
  CLUSTER: cluster.outputs.name
  REGISTRY: registry.outputs.server
  VAULT: vault.outputs.name
  POSTGRES_HOST: postgres.outputs.host
  LAKE_ACCOUNT: storage.outputs.lakeName
  AZUREML_WORKSPACE: last(split(azureml.outputs.id, '/'))
  DATABRICKS_HOST: databricks.outputs.host
  DATABRICKS_CONNECTOR: databricks.outputs.connectorId
  WEB_CLIENT_ID: web.outputs.clientId
  WEB_IDENTITY: web.outputs.name
  READER_CLIENT_ID: reader.outputs.clientId
  READER_IDENTITY: reader.outputs.name
  CODE_CLIENT_ID: code.outputs.clientId
  CODE_IDENTITY: code.outputs.name
  RUN_CLIENT_ID: run.outputs.clientId
  RUN_IDENTITY: run.outputs.name
  SIGN_IN_SECRETS_CLIENT_ID: signInProxy.outputs.clientId
  SERVING_IDENTITY: serving.outputs.id
  SERVING_CLIENT_ID: serving.outputs.clientId
  TRAINING_IDENTITY: training.outputs.id
  SIGN_IN_CLIENT_ID: signIn.clientId
  SIGN_IN_OPERATORS: signIn.operators
  SIGN_IN_READERS: signIn.readers
}
