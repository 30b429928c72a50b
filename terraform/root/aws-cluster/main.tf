provider "aws" {
  region              = var.region
  profile             = var.login.profile
  allowed_account_ids = var.login.account_id[*]

  dynamic "assume_role" {
    for_each = var.login.role_arn[*]

    content {
      role_arn = assume_role.value
    }
  }
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

  unit  = "aws-cluster"
  given = var.settings
  known = {
    kubernetes_version  = []
    public_access_cidrs = []
    administrators      = []
    access              = ["*.principal_arn", "*.policy", "*.namespaces"]
    general             = ["instance_types", "min", "max", "spot", "disk_gib"]
    ml                  = ["instance_types", "min", "max", "spot", "disk_gib"]
    gpu                 = ["instance_types", "min", "max", "spot", "disk_gib"]
    manage_addons       = []
    log_retention_days  = []
  }
}

locals {
  settings = module.settings.given
  network  = var.network
}

module "cluster" {
  source = "../../aws/cluster"

  name    = module.naming.name
  profile = var.profile
  tags    = module.naming.tags

  subnet_ids      = local.network.private_subnet_ids
  alarm_topic_arn = local.network.alarm_topic_arn

  kubernetes_version  = try(local.settings.kubernetes_version, null)
  public_access_cidrs = try(local.settings.public_access_cidrs, null)
  administrators      = try(local.settings.administrators, null)
  access              = try(local.settings.access, null)
  general             = try(local.settings.general, null)
  ml                  = try(local.settings.ml, null)
  gpu                 = try(local.settings.gpu, null)
  manage_addons       = try(local.settings.manage_addons, null)
  log_retention_days  = try(local.settings.log_retention_days, null)
}
