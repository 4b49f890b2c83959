// The private endpoints of everything that has one.
param name string
param location string
param tags object
param subnetId string
@description('Objects with name, id, group (blob, vault, ... as Azure names it) and zones.')
param services array

module each 'endpoint.bicep' = [for service in services: {
  name: 'endpoint-${service.name}'
  params: {
    name: 'pe-${name}-${service.name}'
    location: location
    tags: tags
    subnetId: subnetId
    serviceId: service.id
    group: service.group
    zones: service.zones
  }
}]
