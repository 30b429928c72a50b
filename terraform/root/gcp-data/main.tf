provider "google" {
  project                     = var.project_id
  region                      = var.region
  impersonate_service_account = var.login.impersonate_service_account
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

  unit  = "gcp-data"
  given = var.settings
  known = {
    generation                      = []
    postgres                        = ["version", "tier", "storage_gib", "max_storage_gib", "ha", "backups", "databases"]
    postgres_users                  = []
    postgres_admin_password_version = []
    redis                           = ["version", "node_type", "replicas", "backup_days"]
    buckets                         = ["*.versioning", "*.noncurrent_days", "*.noncurrent_versions", "*.nearline_days", "*.delete_days"]
    registry                        = ["immutable_tags", "untagged_days", "tagged_days", "kept"]
    registry_readers                = []
    warehouse_location              = []
    billing_export_table            = []
    billing_location                = []
    own_key_for                     = []
    deletion_protection             = []
    force_destroy                   = []
  }
  switches = ["postgres", "redis"]
}

locals {
  settings = module.settings.given
  network  = var.network
  cluster  = var.cluster
}

module "data" {
  source = "../../gcp/data"

  project_id = var.project_id
  region     = var.region
  name       = module.naming.name
  profile    = var.profile
  tags       = module.naming.tags

  private_services_network_id = local.network.private_services_network_id
  memorystore_network_id      = local.network.memorystore_network_id
  registry_readers = merge(
    { for one in local.cluster[*] : "nodes" => one.node_service_account },
    try(local.settings.registry_readers, {}),
  )

  postgres_admin_password         = var.postgres_admin_password
  postgres_admin_password_version = try(local.settings.postgres_admin_password_version, null)

  generation           = try(local.settings.generation, null)
  postgres             = try(local.settings.postgres, {})
  postgres_users       = try(local.settings.postgres_users, null)
  redis                = try(local.settings.redis, {})
  buckets              = try(local.settings.buckets, null)
  registry             = try(local.settings.registry, null)
  warehouse_location   = try(local.settings.warehouse_location, null)
  billing_export_table = try(local.settings.billing_export_table, null)
  billing_location     = try(local.settings.billing_location, null)
  own_key_for          = try(local.settings.own_key_for, null)
  deletion_protection  = try(local.settings.deletion_protection, null)
  force_destroy        = try(local.settings.force_destroy, null)
}
