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

  unit  = "gcp-ml"
  given = var.settings
  known = {
    generation          = []
    workloads           = ["*.namespace", "*.service_account", "*.reads", "*.writes", "*.postgres", "*.redis", "*.dataset", "*.vertex"]
    operators           = []
    operator_roles      = []
    workbenches         = ["*.machine_type", "*.zone", "*.owner", "*.disk_gib", "*.idle_minutes", "*.gpu"]
    workbench_users     = []
    deletion_protection = []
  }
}

locals {
  settings = module.settings.given
  network  = var.network
  cluster  = var.cluster
  data     = var.data
}

module "ml" {
  source = "../../gcp/ml"

  project_id = var.project_id
  region     = var.region
  name       = module.naming.name
  profile    = var.profile
  tags       = module.naming.tags

  network_id             = local.network.network_id
  machines_subnetwork_id = local.network.machines_subnetwork_id
  buckets                = local.data.buckets
  dataset_id             = local.data.dataset_id
  costs_dataset_id       = local.data.costs_dataset_id
  repository_id          = local.data.repository_id
  postgres_instance      = one(local.data.postgres[*].instance)
  redis_instance         = one(local.data.redis[*].instance)
  workload_pool          = one(local.cluster[*].workload_pool)

  generation          = try(local.settings.generation, null)
  workloads           = try(local.settings.workloads, null)
  operators           = try(local.settings.operators, null)
  operator_roles      = try(local.settings.operator_roles, null)
  workbenches         = try(local.settings.workbenches, null)
  workbench_users     = try(local.settings.workbench_users, null)
  deletion_protection = try(local.settings.deletion_protection, null)
}
