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

  unit  = "aws-data"
  given = var.settings
  known = {
    postgres            = ["version", "instance_class", "storage_gib", "max_storage_gib", "multi_az", "backup_days", "database"]
    redis               = ["version", "node_type", "nodes", "snapshot_days"]
    repositories        = []
    kept_images         = []
    noncurrent_days     = []
    deletion_protection = []
    last_copies         = []
    force_destroy       = []
    log_retention_days  = []
  }
  switches = ["postgres", "redis"]
}

locals {
  settings = module.settings.given
  network  = var.network
  cluster  = var.cluster
}

module "data" {
  source = "../../aws/data"

  name    = module.naming.name
  profile = var.profile
  tags    = module.naming.tags

  vpc_id                    = local.network.vpc_id
  database_subnet_ids       = local.network.database_subnet_ids
  client_security_group_ids = { for one in local.cluster[*] : "cluster" => one.security_group_id }
  alarm_topic_arn           = local.network.alarm_topic_arn

  postgres            = try(local.settings.postgres, {})
  redis               = try(local.settings.redis, {})
  repositories        = try(local.settings.repositories, null)
  kept_images         = try(local.settings.kept_images, null)
  noncurrent_days     = try(local.settings.noncurrent_days, null)
  deletion_protection = try(local.settings.deletion_protection, null)
  last_copies         = try(local.settings.last_copies, null)
  force_destroy       = try(local.settings.force_destroy, null)
  log_retention_days  = try(local.settings.log_retention_days, null)
}
