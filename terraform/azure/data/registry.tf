resource "azurerm_container_registry" "this" {
  # checkov:skip=CKV_AZURE_164: Docker content trust is being retired; images are named by digest
  # checkov:skip=CKV_AZURE_166: quarantine needs a scanner that lifts it
  # checkov:skip=CKV_AZURE_233: zone redundant in prod
  name                = "${local.plain}acr${local.unique}"
  location            = var.location
  resource_group_name = var.resource_group
  tags                = local.tags

  # Private endpoints and geo-replicas are Premium's.
  sku                     = "Premium"
  zone_redundancy_enabled = local.prod

  # Images come and go by Entra identities from inside the network, and are not exported to other registries.
  admin_enabled                 = false
  anonymous_pull_enabled        = false
  public_network_access_enabled = false
  network_rule_bypass_option    = "AzureServices"
  export_policy_enabled         = false
  data_endpoint_enabled         = true
  retention_policy_in_days      = local.prod ? 30 : 7

  dynamic "georeplications" {
    for_each = var.replica_location[*]

    content {
      location                  = georeplications.value
      zone_redundancy_enabled   = local.prod
      regional_endpoint_enabled = true
      tags                      = local.tags
    }
  }
}
