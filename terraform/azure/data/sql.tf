locals {
  servers = merge(
    { primary = { location = var.location } },
    var.replica_location == null ? {} : { replica = { location = var.replica_location } },
  )
  replicated = var.replica_location != null
  serverless = startswith(local.database.sku, "GP_S_")
  database = {
    sku            = coalesce(var.database.sku, local.prod ? "GP_Gen5_4" : "GP_S_Gen5_1")
    restore_days   = coalesce(var.database.restore_days, local.prod ? 35 : 7)
    zone_redundant = coalesce(var.database.zone_redundant, local.prod)
  }
}

resource "azurerm_mssql_server" "this" {
  # checkov:skip=CKV_AZURE_24: the audit log is in Log Analytics, whose retention is the network's
  for_each = local.servers

  name                          = "${var.name}-sql-${each.key}-${local.unique}"
  location                      = each.value.location
  resource_group_name           = var.resource_group
  version                       = "12.0"
  minimum_tls_version           = "1.2"
  public_network_access_enabled = false
  tags                          = local.tags

  # Entra only: no administrator's password exists, so none can be in a state, a pipeline or a drawer.
  azuread_administrator {
    login_username              = var.database_admin.name
    object_id                   = var.database_admin.object_id
    tenant_id                   = local.tenant
    azuread_authentication_only = true
  }
}

resource "azurerm_mssql_database" "this" {
  # checkov:skip=CKV_AZURE_224: nothing is kept here that needs the proof of a ledger
  name                                = var.database.name
  server_id                           = azurerm_mssql_server.this["primary"].id
  sku_name                            = local.database.sku
  max_size_gb                         = var.database.max_size_gb
  zone_redundant                      = local.database.zone_redundant
  storage_account_type                = local.prod ? "Geo" : "Local"
  transparent_data_encryption_enabled = true
  tags                                = local.tags

  # A serverless database sleeps after an hour, but not while it has a replica: replication would keep it awake.
  min_capacity                = local.serverless ? 0.5 : null
  auto_pause_delay_in_minutes = !local.serverless ? null : local.replicated || local.prod ? -1 : 60

  short_term_retention_policy {
    retention_days           = local.database.restore_days
    backup_interval_in_hours = 12
  }

  # Not for databases that sleep, which Azure refuses.
  dynamic "long_term_retention_policy" {
    for_each = local.prod ? [1] : []

    content {
      weekly_retention  = "P5W"
      monthly_retention = "P12M"
      yearly_retention  = "P5Y"
      week_of_year      = 1
    }
  }
}

# Makes the geo-replica on the second server, and names that follow whoever is primary.
resource "azurerm_mssql_failover_group" "this" {
  count = local.replicated ? 1 : 0

  name                                      = "${var.name}-sql-${local.unique}"
  server_id                                 = azurerm_mssql_server.this["primary"].id
  databases                                 = [azurerm_mssql_database.this.id]
  readonly_endpoint_failover_policy_enabled = true
  tags                                      = local.tags

  partner_server {
    id = azurerm_mssql_server.this["replica"].id
  }

  read_write_endpoint_failover_policy {
    mode          = var.database.failover
    grace_minutes = var.database.failover == "Automatic" ? var.database.grace_minutes : null
  }
}

resource "azurerm_mssql_server_extended_auditing_policy" "this" {
  for_each = local.servers

  server_id              = azurerm_mssql_server.this[each.key].id
  enabled                = true
  log_monitoring_enabled = true

  depends_on = [azurerm_monitor_diagnostic_setting.sql]
}

# The audit log of a server is that of its database master.
resource "azurerm_monitor_diagnostic_setting" "sql" {
  for_each = local.servers

  name                       = "audit"
  target_resource_id         = "${azurerm_mssql_server.this[each.key].id}/databases/master"
  log_analytics_workspace_id = var.log_workspace_id

  enabled_log {
    category = "SQLSecurityAuditEvents"
  }
}

resource "azurerm_mssql_server_security_alert_policy" "this" {
  # checkov:skip=CKV_AZURE_26: the owners are told; further addresses are the caller's
  for_each = coalesce(var.defender, local.prod) ? local.servers : {}

  resource_group_name = var.resource_group
  server_name         = azurerm_mssql_server.this[each.key].name
  state               = "Enabled"

  # The subscription's owners, and whoever is named beside them.
  email_account_admins = true
  email_addresses      = var.security_emails
}
