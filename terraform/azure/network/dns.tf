locals {
  # The zone in which each service's private endpoints are found, by the name that the outputs use.
  zones_by_service = {
    blob          = "privatelink.blob.core.windows.net"
    dfs           = "privatelink.dfs.core.windows.net"
    file          = "privatelink.file.core.windows.net"
    vault         = "privatelink.vaultcore.azure.net"
    sql           = "privatelink.database.windows.net"
    redis         = "privatelink.redis.azure.net"
    registry      = "privatelink.azurecr.io"
    ml            = "privatelink.api.azureml.ms"
    ml_notebooks  = "privatelink.notebooks.azure.net"
    monitor       = "privatelink.monitor.azure.com"
    monitor_oms   = "privatelink.oms.opinsights.azure.com"
    monitor_ods   = "privatelink.ods.opinsights.azure.com"
    monitor_agent = "privatelink.agentsvc.azure-automation.net"
  }
}

resource "azurerm_private_dns_zone" "this" {
  for_each = local.zones_by_service

  name                = each.value
  resource_group_name = azurerm_resource_group.this.name
  tags                = local.tags
}

resource "azurerm_private_dns_zone_virtual_network_link" "this" {
  for_each = azurerm_private_dns_zone.this

  name                  = "${var.name}-vnet"
  resource_group_name   = azurerm_resource_group.this.name
  private_dns_zone_name = each.value.name
  virtual_network_id    = azurerm_virtual_network.this.id
  registration_enabled  = false
  tags                  = local.tags
}
