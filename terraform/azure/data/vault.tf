resource "azurerm_key_vault" "this" {
  name                          = "${substr(local.plain, 0, 15)}kv${local.unique}"
  location                      = var.location
  resource_group_name           = var.resource_group
  tenant_id                     = local.tenant
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
