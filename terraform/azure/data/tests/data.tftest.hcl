# Run by the test suite with stub providers that serve the real providers' schemas.
variables {
  name               = "acme-test-weu"
  location           = "westeurope"
  resource_group     = "acme-test-weu-rg"
  endpoint_subnet_id = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Network/virtualNetworks/n/subnets/endpoints"
  log_workspace_id   = "/subscriptions/s/resourceGroups/g/providers/Microsoft.OperationalInsights/workspaces/logs"
  private_dns_zone_ids = {
    blob = "zone-blob", dfs = "zone-dfs", vault = "zone-vault", sql = "zone-sql", redis = "zone-redis", registry = "zone-registry"
  }
  database_admin = { name = "dba", object_id = "00000000-0000-0000-0000-000000000003" }
  tags           = { project = "acme", environment = "test", team = "risk", cost-centre = "7" }
}

run "dev" {
  variables {
    access = {
      nodes = { principal_id = "00000000-0000-0000-0000-000000000004", images = "pull" }
      fraud = { principal_id = "00000000-0000-0000-0000-000000000005", models = "read", secrets = "read", cache = true }
    }
  }

  assert {
    condition = alltrue([for account in azurerm_storage_account.this :
      !account.shared_access_key_enabled && !account.public_network_access_enabled && !account.allow_nested_items_to_be_public && !account.local_user_enabled &&
      account.network_rules[0].default_action == "Deny" && account.min_tls_version == "TLS1_2" && account.infrastructure_encryption_enabled
    ])
    error_message = "Storage is reached with Entra, from inside, over TLS, and encrypted twice."
  }

  assert {
    condition     = azurerm_storage_account.this["lake"].is_hns_enabled && !azurerm_storage_account.this["lake"].blob_properties[0].versioning_enabled && length(azurerm_storage_account.this["lake"].blob_properties[0].restore_policy) == 0
    error_message = "Data has a hierarchical namespace, with which Azure versions nothing."
  }

  assert {
    condition     = !azurerm_storage_account.this["models"].is_hns_enabled && azurerm_storage_account.this["models"].blob_properties[0].versioning_enabled && azurerm_storage_account.this["models"].blob_properties[0].restore_policy[0].days == 6
    error_message = "Models are versioned and go back to any point of the last 6 days."
  }

  assert {
    condition     = alltrue([for account in azurerm_storage_account.this : account.account_replication_type == "LRS" && account.blob_properties[0].delete_retention_policy[0].days == 7 && length(account.name) <= 24 && can(regex("^[a-z0-9]+$", account.name))])
    error_message = "Dev keeps one region's copies and deleted blobs for a week, under names that Azure takes."
  }

  assert {
    condition     = keys(output.containers) == ["lake/curated", "lake/features", "lake/raw", "models/models"] && alltrue([for container in azurerm_storage_container.this : container.container_access_type == "private"])
    error_message = "Containers are there, and private."
  }

  assert {
    condition     = azurerm_mssql_server.this["primary"].azuread_administrator[0].azuread_authentication_only && azurerm_mssql_server.this["primary"].administrator_login_password == null && !azurerm_mssql_server.this["primary"].public_network_access_enabled && azurerm_mssql_server.this["primary"].minimum_tls_version == "1.2"
    error_message = "The database knows Entra only, has no password, and no public address."
  }

  assert {
    condition     = azurerm_mssql_database.this.sku_name == "GP_S_Gen5_1" && azurerm_mssql_database.this.auto_pause_delay_in_minutes == 60 && azurerm_mssql_database.this.short_term_retention_policy[0].retention_days == 7 && azurerm_mssql_database.this.transparent_data_encryption_enabled
    error_message = "Dev's database sleeps when nobody uses it, is encrypted, and goes back a week."
  }

  assert {
    condition     = keys(azurerm_mssql_server.this) == ["primary"] && length(azurerm_mssql_failover_group.this) == 0 && length(azurerm_mssql_server_security_alert_policy.this) == 0
    error_message = "Dev has no replica."
  }

  assert {
    condition     = azurerm_mssql_server_extended_auditing_policy.this["primary"].log_monitoring_enabled && one(azurerm_monitor_diagnostic_setting.sql["primary"].enabled_log[*].category) == "SQLSecurityAuditEvents"
    error_message = "The database is audited."
  }

  assert {
    condition     = azurerm_managed_redis.this.public_network_access == "Disabled" && !azurerm_managed_redis.this.default_database[0].access_keys_authentication_enabled && azurerm_managed_redis.this.default_database[0].client_protocol == "Encrypted"
    error_message = "The cache takes Entra tokens over TLS, from inside."
  }

  assert {
    condition     = azurerm_managed_redis.this.sku_name == "Balanced_B0" && !azurerm_managed_redis.this.high_availability_enabled
    error_message = "Dev's cache is the smallest."
  }

  assert {
    condition     = keys(azapi_resource.cache_user) == ["fraud"] && azapi_resource.cache_user["fraud"].body.properties.user.objectId == "00000000-0000-0000-0000-000000000005"
    error_message = "Who may use the cache may, and nobody else."
  }

  assert {
    condition     = azurerm_container_registry.this.sku == "Premium" && !azurerm_container_registry.this.admin_enabled && !azurerm_container_registry.this.anonymous_pull_enabled && !azurerm_container_registry.this.public_network_access_enabled && !azurerm_container_registry.this.export_policy_enabled
    error_message = "The registry has no administrator's password and no public address."
  }

  assert {
    condition     = azurerm_key_vault.this.rbac_authorization_enabled && azurerm_key_vault.this.purge_protection_enabled && !azurerm_key_vault.this.public_network_access_enabled && azurerm_key_vault.this.network_acls[0].default_action == "Deny" && length(azurerm_key_vault.this.name) <= 24
    error_message = "The vault obeys roles, cannot be purged, and has no public address."
  }

  assert {
    condition     = { for name, endpoint in azurerm_private_endpoint.this : name => one(endpoint.private_dns_zone_group[0].private_dns_zone_ids) } == { lake = "zone-blob", lake-dfs = "zone-dfs", models = "zone-blob", redis = "zone-redis", registry = "zone-registry", sql = "zone-sql", vault = "zone-vault" }
    error_message = "Everything is reached by a private endpoint, found in its zone."
  }

  assert {
    condition     = { for name, role in azurerm_role_assignment.this : name => role.role_definition_name } == { "nodes/images" = "AcrPull", "fraud/models" = "Storage Blob Data Reader", "fraud/secrets" = "Key Vault Secrets User" }
    error_message = "Everyone has the least role of what was granted."
  }

  assert {
    condition     = azurerm_role_assignment.this["fraud/models"].scope == azurerm_storage_account.this["models"].id
    error_message = "A right on the models reaches no further than their account."
  }

  assert {
    condition     = length(azurerm_management_lock.this) == 0
    error_message = "Dev may be deleted."
  }
}

run "prod" {
  command = plan

  variables {
    profile          = "prod"
    replica_location = "northeurope"
    security_emails  = ["security@acme.example"]
    access = {
      trainer = { principal_id = "00000000-0000-0000-0000-000000000006", models = "write", lake = "write", images = "push", secrets = "write" }
      analyst = { principal_id = "00000000-0000-0000-0000-000000000007", principal_type = "Group", lake = "read" }
    }
  }

  assert {
    condition     = azurerm_mssql_server.this["replica"].location == "northeurope" && azurerm_mssql_failover_group.this[0].read_write_endpoint_failover_policy[0].mode == "Automatic" && azurerm_mssql_failover_group.this[0].read_write_endpoint_failover_policy[0].grace_minutes == 60
    error_message = "The database has a replica in the other region, which takes over."
  }

  assert {
    condition     = alltrue([for server in azurerm_mssql_server.this : server.azuread_administrator[0].azuread_authentication_only && !server.public_network_access_enabled])
    error_message = "The replica is as closed as the primary."
  }

  assert {
    condition     = azurerm_mssql_database.this.sku_name == "GP_Gen5_4" && azurerm_mssql_database.this.zone_redundant && azurerm_mssql_database.this.short_term_retention_policy[0].retention_days == 35 && azurerm_mssql_database.this.long_term_retention_policy[0].yearly_retention == "P5Y" && azurerm_mssql_database.this.storage_account_type == "Geo"
    error_message = "Prod's database spans zones, goes back 35 days, and its backups 5 years."
  }

  assert {
    condition     = one(azurerm_container_registry.this.georeplications[*].location) == "northeurope" && azurerm_container_registry.this.zone_redundancy_enabled
    error_message = "Images are in both regions."
  }

  assert {
    condition     = alltrue([for account in azurerm_storage_account.this : account.account_replication_type == "RAGZRS" && account.blob_properties[0].delete_retention_policy[0].days == 30])
    error_message = "Blobs are in three zones and another region, and come back for 30 days."
  }

  assert {
    condition     = azurerm_managed_redis.this.sku_name == "Balanced_B5" && azurerm_managed_redis.this.high_availability_enabled && azurerm_managed_redis.this.default_database[0].persistence_redis_database_backup_frequency == "6h"
    error_message = "Prod's cache has a standby and is saved."
  }

  assert {
    condition     = keys(azurerm_management_lock.this) == ["lake", "models", "registry", "sql-primary", "sql-replica"] && alltrue([for lock in azurerm_management_lock.this : lock.lock_level == "CanNotDelete"])
    error_message = "What holds data is protected from deletion; the vault cannot be purged anyway."
  }

  assert {
    condition     = keys(azurerm_mssql_server_security_alert_policy.this) == ["primary", "replica"] && one(azurerm_mssql_server_security_alert_policy.this["replica"].email_addresses) == "security@acme.example" && azurerm_key_vault.this.soft_delete_retention_days == 90
    error_message = "Both servers are watched, and secrets come back for 90 days."
  }

  assert {
    condition     = contains(keys(azurerm_private_endpoint.this), "sql-replica")
    error_message = "The replica is reached by a private endpoint too."
  }

  assert {
    condition = { for name, role in azurerm_role_assignment.this : name => role.role_definition_name } == {
      "trainer/models"  = "Storage Blob Data Contributor", "trainer/lake" = "Storage Blob Data Contributor", "trainer/images" = "AcrPush",
      "trainer/secrets" = "Key Vault Secrets Officer", "analyst/lake" = "Storage Blob Data Reader"
    }
    error_message = "Writers write, readers read."
  }
}

run "prod_has_a_replica" {
  command = plan

  variables {
    profile = "prod"
  }

  expect_failures = [var.replica_location]
}

run "what_cannot_work_is_refused" {
  command = plan

  variables {
    replica_location     = "westeurope"
    security_emails      = ["nobody"]
    private_dns_zone_ids = { blob = "zone-blob" }
    database             = { name = "master", failover = "Never", restore_days = 90 }
    database_admin       = { name = "dba", object_id = "dba" }
    cache                = { sku = "Premium_P1" }
    model_containers     = ["Models"]
    lake_containers      = ["x"]
    storage_replication  = "NONE"
    undelete_days        = 1
    lifecycle_days       = { cool = 30, cold = 10 }
    access               = { fraud = { principal_id = "x", models = "own", principal_type = "Robot" } }
  }

  expect_failures = [
    var.replica_location, var.private_dns_zone_ids, var.database, var.database_admin, var.cache, var.model_containers, var.lake_containers,
    var.security_emails, var.storage_replication, var.undelete_days, var.lifecycle_days, var.access,
  ]
}
