locals {
  # The narrowest built-in role of each right, and what it is given on.
  rights = {
    "models/read"   = { role = "Storage Blob Data Reader", scope = azurerm_storage_account.this["models"].id }
    "models/write"  = { role = "Storage Blob Data Contributor", scope = azurerm_storage_account.this["models"].id }
    "lake/read"     = { role = "Storage Blob Data Reader", scope = azurerm_storage_account.this["lake"].id }
    "lake/write"    = { role = "Storage Blob Data Contributor", scope = azurerm_storage_account.this["lake"].id }
    "images/pull"   = { role = "AcrPull", scope = azurerm_container_registry.this.id }
    "images/push"   = { role = "AcrPush", scope = azurerm_container_registry.this.id }
    "secrets/read"  = { role = "Key Vault Secrets User", scope = azurerm_key_vault.this.id }
    "secrets/write" = { role = "Key Vault Secrets Officer", scope = azurerm_key_vault.this.id }
  }
  granted = merge([
    for name, one in var.access : {
      for thing, right in { models = one.models, lake = one.lake, images = one.images, secrets = one.secrets } :
      "${name}/${thing}" => { who = one, right = "${thing}/${right}" } if right != null
    }
  ]...)
}

resource "azurerm_role_assignment" "this" {
  for_each = local.granted

  scope                = local.rights[each.value.right].scope
  role_definition_name = local.rights[each.value.right].role
  principal_id         = each.value.who.principal_id
  principal_type       = each.value.who.principal_type
}
