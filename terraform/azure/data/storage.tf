locals {
  undelete = coalesce(var.undelete_days, local.prod ? 30 : 7)

  # Azure versions blobs, keeps a change feed and restores to a point in time only without a hierarchical namespace, so models and data live apart.
  accounts = {
    models = { hierarchical = false, containers = var.model_containers }
    lake   = { hierarchical = true, containers = var.lake_containers }
  }
}

resource "azurerm_storage_account" "this" {
  # checkov:skip=CKV2_AZURE_1: encrypted twice with keys of Azure's; a key of one's own is a decision about who may lock whom out
  # checkov:skip=CKV_AZURE_33: no queues are used
  # checkov:skip=CKV2_AZURE_33: the private endpoints are in main.tf; the scan does not follow their for_each
  # checkov:skip=CKV_AZURE_43: 12 characters, at most 6 and 6 are 24, all lower-case letters and digits; the scan does not work out sha256()
  for_each = local.accounts

  name                     = "${substr(local.plain, 0, 12)}${each.key}${local.unique}"
  location                 = var.location
  resource_group_name      = var.resource_group
  account_kind             = "StorageV2"
  account_tier             = "Standard"
  account_replication_type = coalesce(var.storage_replication, local.prod ? "RAGZRS" : "LRS")
  access_tier              = "Hot"
  is_hns_enabled           = each.value.hierarchical
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
    versioning_enabled            = !each.value.hierarchical
    change_feed_enabled           = !each.value.hierarchical
    change_feed_retention_in_days = each.value.hierarchical ? null : local.undelete
    last_access_time_enabled      = !each.value.hierarchical

    delete_retention_policy {
      days = local.undelete
    }

    container_delete_retention_policy {
      days = local.undelete
    }

    dynamic "restore_policy" {
      for_each = each.value.hierarchical ? [] : [local.undelete - 1]

      content {
        days = restore_policy.value
      }
    }
  }
}

resource "azurerm_storage_container" "this" {
  # checkov:skip=CKV2_AZURE_21: reads of models are as many as predictions; writes and deletions are logged
  for_each = merge([
    for account, about in local.accounts : { for name in about.containers : "${account}/${name}" => { account = account, name = name } }
  ]...)

  name                  = each.value.name
  storage_account_id    = azurerm_storage_account.this[each.value.account].id
  container_access_type = "private"
}

resource "azurerm_storage_management_policy" "models" {
  storage_account_id = azurerm_storage_account.this["models"].id

  rule {
    name    = "models"
    enabled = true

    filters {
      blob_types = ["blockBlob"]
    }

    actions {
      base_blob {
        tier_to_cool_after_days_since_last_access_time_greater_than = var.lifecycle_days.cool
        auto_tier_to_hot_from_cool_enabled                          = true
      }

      version {
        change_tier_to_cool_after_days_since_creation = min(var.lifecycle_days.cool, var.lifecycle_days.old_versions)
        delete_after_days_since_creation              = var.lifecycle_days.old_versions
      }

      snapshot {
        delete_after_days_since_creation_greater_than = var.lifecycle_days.old_versions
      }
    }
  }
}

resource "azurerm_storage_management_policy" "lake" {
  storage_account_id = azurerm_storage_account.this["lake"].id

  rule {
    name    = "data"
    enabled = true

    filters {
      blob_types = ["blockBlob"]
    }

    actions {
      base_blob {
        tier_to_cool_after_days_since_modification_greater_than = var.lifecycle_days.cool
        tier_to_cold_after_days_since_modification_greater_than = var.lifecycle_days.cold
      }

      snapshot {
        delete_after_days_since_creation_greater_than = var.lifecycle_days.old_versions
      }
    }
  }
}
