# Azure Managed Redis: Azure Cache for Redis takes no new instances and ends in 2028.
resource "azurerm_managed_redis" "this" {
  name                      = "${var.name}-redis-${local.unique}"
  location                  = var.location
  resource_group_name       = var.resource_group
  sku_name                  = coalesce(var.cache.sku, local.prod ? "Balanced_B5" : "Balanced_B0")
  high_availability_enabled = coalesce(var.cache.high_availability, local.prod)
  public_network_access     = "Disabled"
  tags                      = local.tags

  # TLS, and Entra tokens instead of access keys: the provider asks for keys only where they are enabled, so the state has none.
  default_database {
    access_keys_authentication_enabled          = false
    client_protocol                             = "Encrypted"
    clustering_policy                           = "EnterpriseCluster"
    eviction_policy                             = "AllKeysLRU"
    persistence_redis_database_backup_frequency = local.prod ? "6h" : null
  }
}

resource "azapi_resource" "cache_user" {
  for_each = { for name, one in var.access : name => one if one.cache }

  type      = "Microsoft.Cache/redisEnterprise/databases/accessPolicyAssignments@2025-04-01"
  parent_id = "${azurerm_managed_redis.this.id}/databases/default"
  name      = each.value.principal_id

  body = {
    properties = {
      accessPolicyName = "default"
      user             = { objectId = each.value.principal_id }
    }
  }
}
