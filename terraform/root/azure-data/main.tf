# The accounts have neither keys nor public addresses: ask Entra, and leave the data plane alone.
provider "azurerm" {
  subscription_id     = var.subscription_id
  tenant_id           = var.tenant_id
  storage_use_azuread = true

  features {
    key_vault {
      purge_soft_delete_on_destroy = false
    }

    storage {
      data_plane_available = false
    }
  }
}

provider "azapi" {
  subscription_id = var.subscription_id
  tenant_id       = var.tenant_id
}

module "naming" {
  source = "../../shared/naming"

  project     = var.project
  environment = var.environment
  part        = var.part
  team        = var.team
  cost_centre = var.cost_centre
  more_tags   = var.more_tags
}

module "settings" {
  source = "../../shared/settings"

  unit  = "azure-data"
  given = var.settings
  known = {
    replica_location    = []
    database            = ["name", "sku", "max_size_gb", "restore_days", "failover", "grace_minutes", "zone_redundant"]
    database_admin      = ["name", "object_id"]
    defender            = []
    security_emails     = []
    cache               = ["sku", "high_availability"]
    model_containers    = []
    lake_containers     = []
    storage_replication = []
    undelete_days       = []
    lifecycle_days      = ["cool", "cold", "old_versions"]
    access              = ["*.principal_id", "*.principal_type", "*.models", "*.lake", "*.images", "*.secrets", "*.cache"]
    deletion_protection = []
  }
  required = ["database_admin"]
}

locals {
  settings = module.settings.given
  network  = var.network
  cluster  = var.cluster

  # Who has no principal_id is the workload of that name in the cluster. The nodes pull images.
  access = merge(
    { for one in local.cluster[*] : "nodes" => { principal_id = one.kubelet_principal_id, images = "pull" } },
    { for name, one in try(local.settings.access, {}) : name => merge(one, {
      principal_id = can(one.principal_id) ? one.principal_id : local.cluster.workloads[name].principal_id
    }) },
  )
}

module "data" {
  source = "../../azure/data"

  name     = module.naming.name
  location = var.location
  profile  = var.profile
  tags     = module.naming.tags

  resource_group       = local.network.resource_group
  endpoint_subnet_id   = local.network.subnet_ids["endpoints"]
  private_dns_zone_ids = local.network.private_dns_zone_ids
  log_workspace_id     = local.network.log_workspace_id
  access               = local.access

  replica_location    = try(local.settings.replica_location, null)
  database            = try(local.settings.database, null)
  database_admin      = local.settings.database_admin
  defender            = try(local.settings.defender, null)
  security_emails     = try(local.settings.security_emails, null)
  cache               = try(local.settings.cache, null)
  model_containers    = try(local.settings.model_containers, null)
  lake_containers     = try(local.settings.lake_containers, null)
  storage_replication = try(local.settings.storage_replication, null)
  undelete_days       = try(local.settings.undelete_days, null)
  lifecycle_days      = try(local.settings.lifecycle_days, null)
  deletion_protection = try(local.settings.deletion_protection, null)
}
