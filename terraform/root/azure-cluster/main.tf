provider "azurerm" {
  subscription_id = var.subscription_id
  tenant_id       = var.tenant_id

  features {}
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

  unit  = "azure-cluster"
  given = var.settings
  known = {
    kubernetes_version         = []
    private                    = []
    authorized_ranges          = []
    private_name_in_public_dns = []
    pod_range                  = []
    service_range              = []
    zones                      = []
    general                    = ["machine", "min", "max", "disk_gb", "host_encryption"]
    ml                         = ["machine", "min", "max", "disk_gb", "spot", "labels", "taints", "host_encryption"]
    gpu                        = ["machine", "max", "disk_gb", "spot", "zones", "labels", "taints", "host_encryption"]
    admin_group_ids            = []
    deployers                  = ["*.principal_id", "*.principal_type", "*.namespaces"]
    workloads                  = ["*.namespace", "*.service_account"]
    disk_encryption_set_id     = []
    deletion_protection        = []
  }
  required = ["admin_group_ids"]
}

locals {
  settings = module.settings.given
  network  = var.network
}

module "cluster" {
  source = "../../azure/cluster"

  name     = module.naming.name
  location = var.location
  profile  = var.profile
  tags     = module.naming.tags

  resource_group         = local.network.resource_group
  subnet_id              = local.network.subnet_ids["nodes"]
  log_workspace_id       = local.network.log_workspace_id
  log_private_link_scope = local.network.log_private_link_scope

  kubernetes_version         = try(local.settings.kubernetes_version, null)
  private                    = try(local.settings.private, null)
  authorized_ranges          = try(local.settings.authorized_ranges, null)
  private_name_in_public_dns = try(local.settings.private_name_in_public_dns, null)
  pod_range                  = try(local.settings.pod_range, null)
  service_range              = try(local.settings.service_range, null)
  zones                      = try(local.settings.zones, null)
  general                    = try(local.settings.general, null)
  ml                         = try(local.settings.ml, null)
  gpu                        = try(local.settings.gpu, null)
  admin_group_ids            = local.settings.admin_group_ids
  deployers                  = try(local.settings.deployers, null)
  workloads                  = try(local.settings.workloads, null)
  disk_encryption_set_id     = try(local.settings.disk_encryption_set_id, null)
  deletion_protection        = try(local.settings.deletion_protection, null)
}
