output "resource_group" {
  description = "Name of the resource group that the other layers build in."
  value       = azurerm_resource_group.this.name
}

output "location" {
  description = "Azure region."
  value       = azurerm_resource_group.this.location
}

output "virtual_network_id" {
  description = "Id of the network."
  value       = azurerm_virtual_network.this.id
}

output "address_space" {
  description = "IPv4 range of the network, for whoever connects to it."
  value       = var.address_space
}

output "subnet_ids" {
  description = "Ids of the subnets by name: nodes, endpoints, jobs. Known once NAT gateway and security groups are in force."
  value       = { for name, subnet in azurerm_subnet.this : name => subnet.id }

  depends_on = [
    azurerm_nat_gateway_public_ip_association.this,
    azurerm_subnet_nat_gateway_association.this,
    azurerm_subnet_network_security_group_association.this,
  ]
}

output "gateway_subnet_id" {
  description = "Id of the subnet for a VPN gateway; null without one."
  value       = one(azurerm_subnet.gateway[*].id)
}

output "nat_addresses" {
  description = "Public IPv4 addresses that the outside sees, for the allow lists of others."
  value       = azurerm_public_ip.nat[*].ip_address
}

output "private_dns_zone_ids" {
  description = "Ids of the private DNS zones by service: blob, dfs, file, vault, sql, redis, registry, ml, ml_notebooks and the four of Azure Monitor."
  value       = { for service, zone in azurerm_private_dns_zone.this : service => zone.id }

  depends_on = [azurerm_private_dns_zone_virtual_network_link.this]
}

output "log_workspace_id" {
  description = "Id of the Log Analytics workspace."
  value       = azurerm_log_analytics_workspace.this.id
}

output "log_private_link_scope" {
  description = "Name of the private link scope that Application Insights joins."
  value       = azurerm_monitor_private_link_scope.this.name
}
