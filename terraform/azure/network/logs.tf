resource "azurerm_log_analytics_workspace" "this" {
  name                         = "${var.name}-logs"
  location                     = var.location
  resource_group_name          = azurerm_resource_group.this.name
  sku                          = "PerGB2018"
  retention_in_days            = coalesce(var.log_retention_days, local.prod ? 90 : 30)
  daily_quota_gb               = coalesce(var.log_daily_quota_gb, local.prod ? -1 : 5)
  local_authentication_enabled = false
  internet_ingestion_enabled   = false
  internet_query_enabled       = var.log_queries_from_internet
  tags                         = local.tags
}

# Agents and applications send their logs by the private endpoint, not over the internet.
resource "azurerm_monitor_private_link_scope" "this" {
  name                  = "${var.name}-logs"
  resource_group_name   = azurerm_resource_group.this.name
  ingestion_access_mode = "PrivateOnly"
  query_access_mode     = var.log_queries_from_internet ? "Open" : "PrivateOnly"
  tags                  = local.tags
}

resource "azurerm_monitor_private_link_scoped_service" "logs" {
  name                = "logs"
  resource_group_name = azurerm_resource_group.this.name
  scope_name          = azurerm_monitor_private_link_scope.this.name
  linked_resource_id  = azurerm_log_analytics_workspace.this.id
}

resource "azurerm_private_endpoint" "logs" {
  name                = "${var.name}-logs-pe"
  location            = var.location
  resource_group_name = azurerm_resource_group.this.name
  subnet_id           = azurerm_subnet.this["endpoints"].id
  tags                = local.tags

  private_service_connection {
    name                           = "logs"
    private_connection_resource_id = azurerm_monitor_private_link_scope.this.id
    subresource_names              = ["azuremonitor"]
    is_manual_connection           = false
  }

  private_dns_zone_group {
    name = "logs"
    private_dns_zone_ids = [
      for service in ["monitor", "monitor_oms", "monitor_ods", "monitor_agent", "blob"] : azurerm_private_dns_zone.this[service].id
    ]
  }

  depends_on = [
    azurerm_monitor_private_link_scoped_service.logs,
    azurerm_private_dns_zone_virtual_network_link.this,
    azurerm_subnet_network_security_group_association.this,
  ]
}
