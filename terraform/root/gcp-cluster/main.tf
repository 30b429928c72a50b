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

  unit  = "gcp-cluster"
  given = var.settings
  known = {
    generation          = []
    zones               = []
    release_channel     = []
    dns_endpoint        = []
    authorized_ranges   = []
    security_group      = []
    general             = ["machine_type", "min", "max", "spot", "disk_gib"]
    ml                  = ["machine_type", "min", "max", "spot", "disk_gib"]
    gpu                 = ["machine_type", "accelerator", "count", "driver", "zones", "min", "max", "spot", "disk_gib"]
    deletion_protection = []
  }
}

locals {
  settings = module.settings.given
  network  = var.network
}

module "cluster" {
  source = "../../gcp/cluster"

  project_id = var.project_id
  region     = var.region
  name       = module.naming.name
  profile    = var.profile
  tags       = module.naming.tags

  network_id          = local.network.network_id
  subnetwork_id       = local.network.nodes_subnetwork_id
  pods_range_name     = local.network.pods_range_name
  services_range_name = local.network.services_range_name

  generation          = try(local.settings.generation, null)
  zones               = try(local.settings.zones, null)
  release_channel     = try(local.settings.release_channel, null)
  dns_endpoint        = try(local.settings.dns_endpoint, null)
  authorized_ranges   = try(local.settings.authorized_ranges, null)
  security_group      = try(local.settings.security_group, null)
  general             = try(local.settings.general, null)
  ml                  = try(local.settings.ml, null)
  gpu                 = try(local.settings.gpu, null)
  deletion_protection = try(local.settings.deletion_protection, null)
}
