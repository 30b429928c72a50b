data "azurerm_client_config" "this" {}

locals {
  tags      = merge(var.tags, { managed-by = "mcml" })
  prod      = var.profile == "prod"
  protected = coalesce(var.deletion_protection, local.prod)
  tenant    = data.azurerm_client_config.this.tenant_id

  # Names of accounts, vaults, servers and registries are unique in all of Azure, and some take no dashes.
  unique = substr(sha256("${data.azurerm_client_config.this.subscription_id}/${var.resource_group}/${var.name}"), 0, 6)
  plain  = replace(var.name, "-", "")
}

# By name: what is reached privately, the part of it, the zones in which it is found.
locals {
  private = merge(
    {
      models   = { id = azurerm_storage_account.this["models"].id, part = "blob", zone = "blob" }
      lake     = { id = azurerm_storage_account.this["lake"].id, part = "blob", zone = "blob" }
      lake-dfs = { id = azurerm_storage_account.this["lake"].id, part = "dfs", zone = "dfs" }
      vault    = { id = azurerm_key_vault.this.id, part = "vault", zone = "vault" }
      registry = { id = azurerm_container_registry.this.id, part = "registry", zone = "registry" }
      redis    = { id = azurerm_managed_redis.this.id, part = "redisEnterprise", zone = "redis" }
      sql      = { id = azurerm_mssql_server.this["primary"].id, part = "sqlServer", zone = "sql" }
    },
    { for role in setsubtract(keys(local.servers), ["primary"]) : "sql-${role}" => { id = azurerm_mssql_server.this[role].id, part = "sqlServer", zone = "sql" } },
  )
}

resource "azurerm_private_endpoint" "this" {
  for_each = local.private

  name                          = "${var.name}-${each.key}-pe"
  custom_network_interface_name = "${var.name}-${each.key}-nic"
  location                      = var.location
  resource_group_name           = var.resource_group
  subnet_id                     = var.endpoint_subnet_id
  tags                          = local.tags

  private_service_connection {
    name                           = each.key
    private_connection_resource_id = each.value.id
    subresource_names              = [each.value.part]
    is_manual_connection           = false
  }

  private_dns_zone_group {
    name                 = each.key
    private_dns_zone_ids = [var.private_dns_zone_ids[each.value.zone]]
  }
}

# Who read, changed and deleted what. The database servers audit themselves (see sql.tf).
locals {
  audited = {
    vault    = { id = azurerm_key_vault.this.id, logs = ["AuditEvent"] }
    registry = { id = azurerm_container_registry.this.id, logs = ["ContainerRegistryLoginEvents", "ContainerRegistryRepositoryEvents"] }
    models   = { id = "${azurerm_storage_account.this["models"].id}/blobServices/default", logs = ["StorageWrite", "StorageDelete"] }
    lake     = { id = "${azurerm_storage_account.this["lake"].id}/blobServices/default", logs = ["StorageWrite", "StorageDelete"] }
  }
}

resource "azurerm_monitor_diagnostic_setting" "this" {
  for_each = local.audited

  name                       = "audit"
  target_resource_id         = each.value.id
  log_analytics_workspace_id = var.log_workspace_id

  dynamic "enabled_log" {
    for_each = each.value.logs

    content {
      category = enabled_log.value
    }
  }
}

locals {
  lockable = merge(
    {
      models   = azurerm_storage_account.this["models"].id
      lake     = azurerm_storage_account.this["lake"].id
      registry = azurerm_container_registry.this.id
    },
    { for role in keys(local.servers) : "sql-${role}" => azurerm_mssql_server.this[role].id },
  )
}

resource "azurerm_management_lock" "this" {
  for_each = local.protected ? local.lockable : {}

  name       = "${var.name}-${each.key}"
  scope      = each.value
  lock_level = "CanNotDelete"
  notes      = "Deletion protection of what holds data; set deletion_protection = false to lift it."

  # Made last and removed first: a lock is inherited by what it holds, and by roles and settings.
  depends_on = [
    azurerm_monitor_diagnostic_setting.sql,
    azurerm_monitor_diagnostic_setting.this,
    azurerm_mssql_failover_group.this,
    azurerm_mssql_server_extended_auditing_policy.this,
    azurerm_mssql_server_security_alert_policy.this,
    azurerm_private_endpoint.this,
    azurerm_role_assignment.this,
    azurerm_storage_container.this,
    azurerm_storage_management_policy.lake,
    azurerm_storage_management_policy.models,
  ]
}
