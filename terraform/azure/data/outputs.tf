output "storage" {
  description = "Storage accounts by name (models, lake): account name, id, URL of its blobs, URL of its file systems."
  value = {
    for name, account in azurerm_storage_account.this : name => {
      name = account.name, id = account.id, blob = account.primary_blob_endpoint, dfs = account.primary_dfs_endpoint
    }
  }
}

output "containers" {
  description = "Ids of the containers and file systems, by `account/name`."
  value       = { for name, container in azurerm_storage_container.this : name => container.id }
}

output "database" {
  description = "The database: its name, server to write to and server to read from (names that follow a failover, where there is a replica), id of the primary's server."
  value = {
    name      = azurerm_mssql_database.this.name
    id        = azurerm_mssql_database.this.id
    server_id = azurerm_mssql_server.this["primary"].id
    write     = local.replicated ? "${azurerm_mssql_failover_group.this[0].name}.database.windows.net" : azurerm_mssql_server.this["primary"].fully_qualified_domain_name
    read      = local.replicated ? "${azurerm_mssql_failover_group.this[0].name}.secondary.database.windows.net" : azurerm_mssql_server.this["primary"].fully_qualified_domain_name
  }
}

output "cache" {
  description = "Azure Managed Redis: host and port, TLS and Entra tokens only."
  value       = { host = azurerm_managed_redis.this.hostname, port = 10000, id = azurerm_managed_redis.this.id }
}

output "registry" {
  description = "Container registry: login server and id."
  value       = { server = azurerm_container_registry.this.login_server, id = azurerm_container_registry.this.id }
}

output "vault" {
  description = "Key vault: URL and id."
  value       = { url = azurerm_key_vault.this.vault_uri, id = azurerm_key_vault.this.id }
}
