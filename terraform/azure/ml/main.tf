data "azurerm_client_config" "this" {}

locals {
  tags      = merge(var.tags, { managed-by = "mcml" })
  prod      = var.profile == "prod"
  protected = coalesce(var.deletion_protection, local.prod)
  group     = "/subscriptions/${data.azurerm_client_config.this.subscription_id}/resourceGroups/${var.resource_group}"

  # Names of accounts and vaults are unique in all of Azure, and take no dashes.
  unique = substr(sha256("${data.azurerm_client_config.this.subscription_id}/${var.resource_group}/${var.name}"), 0, 6)
  plain  = replace(var.name, "-", "")
}

# With azurerm the workspace would be made to sign in to its storage with the account's key, which does not work where keys are off.
resource "azapi_resource" "workspace" {
  type      = "Microsoft.MachineLearningServices/workspaces@2025-06-01"
  parent_id = local.group
  name      = "${var.name}-ml"
  location  = var.location
  tags      = local.tags

  identity {
    type         = "UserAssigned"
    identity_ids = [azurerm_user_assigned_identity.workspace.id]
  }

  body = {
    kind = "Default"
    sku  = { name = "Basic", tier = "Basic" }
    properties = {
      friendlyName                = "${var.name}-ml"
      applicationInsights         = azurerm_application_insights.this.id
      containerRegistry           = var.registry_id
      keyVault                    = azurerm_key_vault.this.id
      storageAccount              = azurerm_storage_account.this.id
      primaryUserAssignedIdentity = azurerm_user_assigned_identity.workspace.id
      systemDatastoresAuthMode    = "identity"
      publicNetworkAccess         = "Disabled"
      managedNetwork              = { isolationMode = "Disabled" }
      imageBuildCompute           = "cpu"
      hbiWorkspace                = local.prod
      v1LegacyMode                = false
    }
  }

  depends_on = [azurerm_private_endpoint.stores, azurerm_role_assignment.workspace]
}

resource "azurerm_private_endpoint" "workspace" {
  name                = "${var.name}-ml-pe"
  location            = var.location
  resource_group_name = var.resource_group
  subnet_id           = var.endpoint_subnet_id
  tags                = local.tags

  private_service_connection {
    name                           = "ml"
    private_connection_resource_id = azapi_resource.workspace.id
    subresource_names              = ["amlworkspace"]
    is_manual_connection           = false
  }

  private_dns_zone_group {
    name                 = "ml"
    private_dns_zone_ids = [var.private_dns_zone_ids["ml"], var.private_dns_zone_ids["ml_notebooks"]]
  }
}

resource "azurerm_machine_learning_datastore_blobstorage" "this" {
  for_each = var.data_sets

  name                       = each.key
  workspace_id               = azapi_resource.workspace.id
  storage_container_id       = each.value
  service_data_auth_identity = "WorkspaceUserAssignedIdentity"
}

resource "azurerm_management_lock" "this" {
  for_each = local.protected ? { workspace = azapi_resource.workspace.id, storage = azurerm_storage_account.this.id } : {}

  name       = "${var.name}-ml-${each.key}"
  scope      = each.value
  lock_level = "CanNotDelete"
  notes      = "Deletion protection of what holds data; set deletion_protection = false to lift it."

  # Made last and removed first: a lock is inherited by what it holds, and by roles and settings.
  depends_on = [
    azurerm_machine_learning_compute_cluster.this,
    azurerm_machine_learning_datastore_blobstorage.this,
    azurerm_monitor_diagnostic_setting.this,
    azurerm_private_endpoint.workspace,
    azurerm_role_assignment.job,
    azurerm_role_assignment.scientist,
    azurerm_role_assignment.scientist_storage,
    azurerm_role_assignment.workspace,
    azurerm_storage_management_policy.this,
  ]
}
