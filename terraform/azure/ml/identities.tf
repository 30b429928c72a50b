resource "azurerm_user_assigned_identity" "workspace" {
  name                = "${var.name}-ml"
  location            = var.location
  resource_group_name = var.resource_group
  tags                = local.tags
}

resource "azurerm_user_assigned_identity" "job" {
  name                = "${var.name}-ml-job"
  location            = var.location
  resource_group_name = var.resource_group
  tags                = local.tags
}

locals {
  # Azure ML manages its own account, vault and metrics, so it contributes to these three; they are nobody else's. Of what is shared it gets what it needs.
  workspace_roles = {
    storage       = { scope = azurerm_storage_account.this.id, role = "Contributor" }
    storage-blobs = { scope = azurerm_storage_account.this.id, role = "Storage Blob Data Contributor" }
    storage-files = { scope = azurerm_storage_account.this.id, role = "Storage File Data Privileged Contributor" }
    vault         = { scope = azurerm_key_vault.this.id, role = "Contributor" }
    vault-data    = { scope = azurerm_key_vault.this.id, role = "Key Vault Administrator" }
    metrics       = { scope = azurerm_application_insights.this.id, role = "Contributor" }
    images        = { scope = var.registry_id, role = "AcrPush" }
    data          = { scope = var.lake_account_id, role = "Storage Blob Data Reader" }
  }

  job_roles = {
    runs      = { scope = azapi_resource.workspace.id, role = "AzureML Data Scientist" }
    storage   = { scope = azurerm_storage_account.this.id, role = "Storage Blob Data Contributor" }
    notebooks = { scope = azurerm_storage_account.this.id, role = "Storage File Data Privileged Contributor" }
    metrics   = { scope = azurerm_application_insights.this.id, role = "Monitoring Metrics Publisher" }
    images    = { scope = var.registry_id, role = "AcrPush" }
    data      = { scope = var.lake_account_id, role = "Storage Blob Data Reader" }
    models    = { scope = var.model_account_id, role = "Storage Blob Data Contributor" }
  }
}

resource "azurerm_role_assignment" "workspace" {
  for_each = local.workspace_roles

  scope                = each.value.scope
  role_definition_name = each.value.role
  principal_id         = azurerm_user_assigned_identity.workspace.principal_id
  principal_type       = "ServicePrincipal"
}

resource "azurerm_role_assignment" "job" {
  for_each = local.job_roles

  scope                = each.value.scope
  role_definition_name = each.value.role
  principal_id         = azurerm_user_assigned_identity.job.principal_id
  principal_type       = "ServicePrincipal"
}

resource "azurerm_role_assignment" "scientist" {
  for_each = var.scientists

  scope                = azapi_resource.workspace.id
  role_definition_name = "AzureML Data Scientist"
  principal_id         = each.value.principal_id
  principal_type       = each.value.principal_type
}

# The studio shows code, logs and results out of the account with the scientist's own identity.
resource "azurerm_role_assignment" "scientist_storage" {
  for_each = var.scientists

  scope                = azurerm_storage_account.this.id
  role_definition_name = "Storage Blob Data Contributor"
  principal_id         = each.value.principal_id
  principal_type       = each.value.principal_type
}
