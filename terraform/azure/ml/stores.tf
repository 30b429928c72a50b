# What a workspace needs of its own: the account of its runs, notebooks and logs (which may have no hierarchical namespace), a vault, its metrics.
resource "azurerm_storage_account" "this" {
  # checkov:skip=CKV2_AZURE_1: encrypted twice with keys of Azure's; a key of one's own is a decision about who may lock whom out
  # checkov:skip=CKV_AZURE_33: no queues are used
  # checkov:skip=CKV_AZURE_43: 14 characters, 3 and 6 are 23, all lower-case letters and digits; the scan does not work out sha256()
  name                     = "${substr(local.plain, 0, 14)}aml${local.unique}"
  location                 = var.location
  resource_group_name      = var.resource_group
  account_kind             = "StorageV2"
  account_tier             = "Standard"
  account_replication_type = local.prod ? "ZRS" : "LRS"
  is_hns_enabled           = false
  tags                     = local.tags

  # Entra and Azure's roles, from inside the network, over TLS: nothing else.
  shared_access_key_enabled         = false
  default_to_oauth_authentication   = true
  local_user_enabled                = false
  sftp_enabled                      = false
  public_network_access_enabled     = false
  allow_nested_items_to_be_public   = false
  cross_tenant_replication_enabled  = false
  allowed_copy_scope                = "AAD"
  https_traffic_only_enabled        = true
  min_tls_version                   = "TLS1_2"
  infrastructure_encryption_enabled = true

  network_rules {
    default_action = "Deny"
    bypass         = ["AzureServices"]
  }

  blob_properties {
    versioning_enabled = true

    delete_retention_policy {
      days = local.prod ? 30 : 7
    }

    container_delete_retention_policy {
      days = local.prod ? 30 : 7
    }
  }
}

resource "azurerm_storage_management_policy" "this" {
  storage_account_id = azurerm_storage_account.this.id

  rule {
    name    = "old-versions"
    enabled = true

    filters {
      blob_types = ["blockBlob"]
    }

    actions {
      version {
        delete_after_days_since_creation = 30
      }
    }
  }
}

resource "azurerm_key_vault" "this" {
  name                          = "${substr(local.plain, 0, 14)}aml${local.unique}"
  location                      = var.location
  resource_group_name           = var.resource_group
  tenant_id                     = data.azurerm_client_config.this.tenant_id
  sku_name                      = "standard"
  rbac_authorization_enabled    = true
  purge_protection_enabled      = true
  soft_delete_retention_days    = local.prod ? 90 : 7
  public_network_access_enabled = false
  tags                          = local.tags

  network_acls {
    default_action = "Deny"
    bypass         = "AzureServices"
  }
}

resource "azurerm_application_insights" "this" {
  name                          = "${var.name}-insights"
  location                      = var.location
  resource_group_name           = var.resource_group
  workspace_id                  = var.log_workspace_id
  application_type              = "web"
  retention_in_days             = local.prod ? 90 : 30
  daily_data_cap_in_gb          = local.prod ? 100 : 5
  local_authentication_disabled = true
  internet_ingestion_enabled    = false
  internet_query_enabled        = false
  tags                          = local.tags
}

resource "azurerm_monitor_private_link_scoped_service" "this" {
  name                = "${var.name}-insights"
  resource_group_name = var.resource_group
  scope_name          = var.log_private_link_scope
  linked_resource_id  = azurerm_application_insights.this.id
}

resource "azurerm_private_endpoint" "stores" {
  for_each = {
    blob  = { id = azurerm_storage_account.this.id, part = "blob" }
    file  = { id = azurerm_storage_account.this.id, part = "file" }
    vault = { id = azurerm_key_vault.this.id, part = "vault" }
  }

  name                = "${var.name}-ml-${each.key}-pe"
  location            = var.location
  resource_group_name = var.resource_group
  subnet_id           = var.endpoint_subnet_id
  tags                = local.tags

  private_service_connection {
    name                           = each.key
    private_connection_resource_id = each.value.id
    subresource_names              = [each.value.part]
    is_manual_connection           = false
  }

  private_dns_zone_group {
    name                 = each.key
    private_dns_zone_ids = [var.private_dns_zone_ids[each.key]]
  }
}

resource "azurerm_monitor_diagnostic_setting" "this" {
  for_each = {
    workspace = { id = azapi_resource.workspace.id, logs = ["AmlComputeClusterEvent", "AmlComputeJobEvent", "AmlRunStatusChangedEvent", "ModelsChangeEvent"] }
    vault     = { id = azurerm_key_vault.this.id, logs = ["AuditEvent"] }
  }

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
