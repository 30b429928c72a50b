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

  unit  = "aws-network"
  given = var.settings
  known = {
    cidr                = []
    zones               = []
    nat                 = []
    interface_endpoints = []
    log_retention_days  = []
    alarm_endpoints     = []
    budget              = ["amount", "currency", "emails", "thresholds", "by_tag", "account_ids"]
  }
}

locals {
  settings = module.settings.given
}

module "network" {
  source = "../../aws/network"

  name    = module.naming.name
  profile = var.profile
  tags    = module.naming.tags

  cidr                = try(local.settings.cidr, null)
  zones               = try(local.settings.zones, null)
  nat                 = try(local.settings.nat, null)
  interface_endpoints = try(local.settings.interface_endpoints, null)
  log_retention_days  = try(local.settings.log_retention_days, null)
  alarm_endpoints     = try(local.settings.alarm_endpoints, null)
}

# Here, as this is the first unit of a cloud: a limit is known before there is anything to pay for.
module "budget" {
  source = "../../shared/budgets/aws"
  count  = try(local.settings.budget, null) == null ? 0 : 1

  name      = module.naming.name
  profile   = var.profile
  tags      = module.naming.tags
  topic_arn = module.network.alarm_topic_arn

  amount      = try(local.settings.budget.amount, null)
  currency    = try(local.settings.budget.currency, null)
  emails      = try(local.settings.budget.emails, null)
  thresholds  = try(local.settings.budget.thresholds, null)
  by_tag      = try(local.settings.budget.by_tag, null)
  account_ids = try(local.settings.budget.account_ids, null)
}
