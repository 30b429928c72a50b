provider "google" {
  project                     = var.project_id
  region                      = var.region
  impersonate_service_account = var.login.impersonate_service_account

  # The Budget API wants to know whose quota a person takes; nothing else here asks.
  billing_project       = local.budgets > 0 ? var.project_id : null
  user_project_override = local.budgets > 0 ? true : null
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

  unit  = "gcp-network"
  given = var.settings
  known = {
    cidr            = []
    nat_addresses   = []
    ssh_through_iap = []
    budget          = ["amount", "currency", "emails", "thresholds", "by_tag", "billing_account", "project_numbers", "topic_id"]
  }
}

locals {
  settings = module.settings.given
  budgets  = try(local.settings.budget, null) == null ? 0 : 1
}

module "network" {
  source = "../../gcp/network"

  project_id = var.project_id
  region     = var.region
  name       = module.naming.name
  profile    = var.profile
  tags       = module.naming.tags

  cidr            = try(local.settings.cidr, null)
  nat_addresses   = try(local.settings.nat_addresses, null)
  ssh_through_iap = try(local.settings.ssh_through_iap, null)
}

# Here, as this is the first unit of a cloud: a limit is known before there is anything to pay for.
module "budget" {
  source = "../../shared/budgets/gcp"
  count  = local.budgets

  project_id = var.project_id
  name       = module.naming.name
  profile    = var.profile
  tags       = module.naming.tags

  amount          = try(local.settings.budget.amount, null)
  currency        = try(local.settings.budget.currency, null)
  emails          = try(local.settings.budget.emails, null)
  thresholds      = try(local.settings.budget.thresholds, null)
  by_tag          = try(local.settings.budget.by_tag, null)
  billing_account = try(local.settings.budget.billing_account, null)
  project_numbers = try(local.settings.budget.project_numbers, null)
  topic_id        = try(local.settings.budget.topic_id, null)
}
