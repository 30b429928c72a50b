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

  unit  = "azure-network"
  given = var.settings
  known = {
    address_space             = []
    dns_servers               = []
    gateway_subnet            = []
    trusted_ranges            = []
    public_ingress            = ["ports", "sources"]
    nat_addresses             = []
    nat_zone                  = []
    log_retention_days        = []
    log_daily_quota_gb        = []
    log_queries_from_internet = []
    flow_logs                 = ["storage_account_id", "network_watcher", "watcher_resource_group", "retention_days"]
    ddos_protection_plan_id   = []
    budget                    = ["amount", "first_month", "emails", "thresholds", "by_tag", "resource_groups", "action_group_ids"]
  }
}

locals {
  settings = module.settings.given
}

module "network" {
  source = "../../azure/network"

  name     = module.naming.name
  location = var.location
  profile  = var.profile
  tags     = module.naming.tags

  address_space             = try(local.settings.address_space, null)
  dns_servers               = try(local.settings.dns_servers, null)
  gateway_subnet            = try(local.settings.gateway_subnet, null)
  trusted_ranges            = try(local.settings.trusted_ranges, null)
  public_ingress            = try(local.settings.public_ingress, null)
  nat_addresses             = try(local.settings.nat_addresses, null)
  nat_zone                  = try(local.settings.nat_zone, null)
  log_retention_days        = try(local.settings.log_retention_days, null)
  log_daily_quota_gb        = try(local.settings.log_daily_quota_gb, null)
  log_queries_from_internet = try(local.settings.log_queries_from_internet, null)
  flow_logs                 = try(local.settings.flow_logs, null)
  ddos_protection_plan_id   = try(local.settings.ddos_protection_plan_id, null)
}

# Here, as this is the first unit of a cloud: a limit is known before there is anything to pay for.
module "budget" {
  source = "../../shared/budgets/azure"
  count  = try(local.settings.budget, null) == null ? 0 : 1

  subscription_id = var.subscription_id
  name            = module.naming.name
  profile         = var.profile
  tags            = module.naming.tags

  amount           = try(local.settings.budget.amount, null)
  first_month      = try(local.settings.budget.first_month, null)
  emails           = try(local.settings.budget.emails, null)
  thresholds       = try(local.settings.budget.thresholds, null)
  by_tag           = try(local.settings.budget.by_tag, null)
  resource_groups  = try(local.settings.budget.resource_groups, null)
  action_group_ids = try(local.settings.budget.action_group_ids, null)
}
