# Run by the test suite with stub providers that serve the real providers' schemas.
variables {
  name                   = "acme-test-weu"
  location               = "westeurope"
  resource_group         = "acme-test-weu-rg"
  endpoint_subnet_id     = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Network/virtualNetworks/n/subnets/endpoints"
  job_subnet_id          = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Network/virtualNetworks/n/subnets/jobs"
  log_workspace_id       = "/subscriptions/s/resourceGroups/g/providers/Microsoft.OperationalInsights/workspaces/logs"
  log_private_link_scope = "logs"
  registry_id            = "registry"
  model_account_id       = "models"
  lake_account_id        = "lake"
  private_dns_zone_ids   = { blob = "zone-blob", file = "zone-file", vault = "zone-vault", ml = "zone-ml", ml_notebooks = "zone-notebooks" }
  tags                   = { project = "acme", environment = "test", team = "risk", cost-centre = "7" }
}

run "dev" {
  variables {
    data_sets  = { curated = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Storage/storageAccounts/lake/blobServices/default/containers/curated" }
    scientists = { risk = { principal_id = "00000000-0000-0000-0000-000000000008" } }
  }

  assert {
    condition     = azapi_resource.workspace.body.properties.publicNetworkAccess == "Disabled" && azapi_resource.workspace.body.properties.systemDatastoresAuthMode == "identity" && azapi_resource.workspace.body.properties.storageAccount == azurerm_storage_account.this.id
    error_message = "The workspace has no public address and signs in to its storage with its identity."
  }

  assert {
    condition     = azapi_resource.workspace.parent_id == "/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/acme-test-weu-rg" && azapi_resource.workspace.tags.managed-by == "mcml"
    error_message = "It is in the resource group, with our tags."
  }

  assert {
    condition     = tolist(azurerm_private_endpoint.workspace.private_dns_zone_group[0].private_dns_zone_ids) == tolist(["zone-ml", "zone-notebooks"]) && keys(azurerm_private_endpoint.stores) == ["blob", "file", "vault"]
    error_message = "Workspace and stores are reached by private endpoints."
  }

  assert {
    condition     = !azurerm_storage_account.this.shared_access_key_enabled && !azurerm_storage_account.this.public_network_access_enabled && !azurerm_storage_account.this.is_hns_enabled && azurerm_storage_account.this.blob_properties[0].versioning_enabled && azurerm_storage_account.this.infrastructure_encryption_enabled
    error_message = "Its storage has no keys and no public address, and is versioned and encrypted."
  }

  assert {
    condition     = azurerm_key_vault.this.rbac_authorization_enabled && azurerm_key_vault.this.purge_protection_enabled && !azurerm_key_vault.this.public_network_access_enabled
    error_message = "Its vault obeys roles, cannot be purged, and has no public address."
  }

  assert {
    condition     = azurerm_application_insights.this.local_authentication_disabled && !azurerm_application_insights.this.internet_ingestion_enabled && azurerm_application_insights.this.workspace_id == var.log_workspace_id
    error_message = "Metrics are sent with an identity, from inside, to the log workspace."
  }

  assert {
    condition = output.computes == {
      cpu = { machine = "Standard_D4s_v5", max = 2, spot = true }
      gpu = { machine = "Standard_NC4as_T4_v3", max = 1, spot = true }
    }
    error_message = "Dev trains on few and cheap machines."
  }

  assert {
    condition = alltrue([for cluster in azurerm_machine_learning_compute_cluster.this :
      cluster.scale_settings[0].min_node_count == 0 && !cluster.node_public_ip_enabled && !cluster.local_auth_enabled && !cluster.ssh_public_access_enabled &&
      cluster.subnet_resource_id == var.job_subnet_id && cluster.scale_settings[0].scale_down_nodes_after_idle_duration == "PT15M"
    ])
    error_message = "Training machines come when they are asked for, inside the network, and nobody logs in to them."
  }

  assert {
    condition     = azurerm_role_assignment.job["data"].role_definition_name == "Storage Blob Data Reader" && azurerm_role_assignment.job["data"].scope == "lake" && azurerm_role_assignment.job["models"].scope == "models"
    error_message = "Jobs read data sets and write models."
  }

  assert {
    condition     = toset([for role in azurerm_role_assignment.workspace : role.scope if role.role_definition_name == "Contributor"]) == toset([azurerm_storage_account.this.id, azurerm_key_vault.this.id, azurerm_application_insights.this.id])
    error_message = "The workspace manages what is its own, and nothing that is shared."
  }

  assert {
    condition     = azurerm_role_assignment.scientist["risk"].role_definition_name == "AzureML Data Scientist" && azurerm_role_assignment.scientist["risk"].principal_type == "Group"
    error_message = "Scientists work in the workspace and do not change it."
  }

  assert {
    condition     = azurerm_machine_learning_datastore_blobstorage.this["curated"].account_key == null && azurerm_machine_learning_datastore_blobstorage.this["curated"].service_data_auth_identity == "WorkspaceUserAssignedIdentity"
    error_message = "A datastore keeps no key."
  }

  assert {
    condition     = startswith(output.workspace.mlflow, "azureml://westeurope.api.azureml.ms/mlflow/v1.0") && length(azurerm_management_lock.this) == 0
    error_message = "MLflow finds it, and dev may be deleted."
  }
}

run "prod" {
  command = plan

  variables {
    profile      = "prod"
    gpu          = { machine = "Standard_NC24ads_A100_v4", max = 8, spot = true }
    idle_minutes = 5
  }

  assert {
    condition = output.computes == {
      cpu = { machine = "Standard_D8s_v5", max = 10, spot = false }
      gpu = { machine = "Standard_NC24ads_A100_v4", max = 8, spot = true }
    }
    error_message = "Prod trains on dedicated machines, and what is asked for wins."
  }

  assert {
    condition     = azurerm_machine_learning_compute_cluster.this["gpu"].vm_priority == "LowPriority" && azurerm_machine_learning_compute_cluster.this["cpu"].vm_priority == "Dedicated"
    error_message = "Low priority is a choice."
  }

  assert {
    condition     = keys(azurerm_management_lock.this) == ["storage", "workspace"] && azurerm_storage_account.this.account_replication_type == "ZRS" && azapi_resource.workspace.body.properties.hbiWorkspace
    error_message = "Prod is protected from deletion, in three zones, and sends Microsoft less."
  }
}

run "without_gpus" {
  command = plan

  variables {
    gpu = null
  }

  assert {
    condition     = keys(output.computes) == ["cpu"]
    error_message = "No GPU cluster where none is wanted."
  }
}

run "what_cannot_work_is_refused" {
  command = plan

  variables {
    private_dns_zone_ids = { blob = "zone-blob" }
    data_sets            = { "Not A Name" = "x" }
    cpu                  = { max = 0 }
    gpu                  = { machine = "Standard_D4s_v5" }
    idle_minutes         = 0
    scientists           = { risk = { principal_id = "x", principal_type = "Robot" } }
  }

  expect_failures = [var.private_dns_zone_ids, var.data_sets, var.cpu, var.gpu, var.idle_minutes, var.scientists]
}
