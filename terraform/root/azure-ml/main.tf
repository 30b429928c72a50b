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

  unit  = "azure-ml"
  given = var.settings
  known = {
    data_sets           = []
    cpu                 = ["machine", "max", "spot"]
    gpu                 = ["machine", "max", "spot"]
    idle_minutes        = []
    scientists          = ["*.principal_id", "*.principal_type"]
    deletion_protection = []
  }
  switches = ["gpu"]
}

locals {
  settings = module.settings.given
  network  = var.network
  data     = var.data

  # A data set is a container of the data layer, as ACCOUNT/CONTAINER; all file systems of the lake, where nothing is said.
  lake      = [for name in keys(local.data.containers) : name if startswith(name, "lake/")]
  all       = { for name in local.lake : replace(trimprefix(name, "lake/"), "-", "_") => name }
  data_sets = { for name, container in try(local.settings.data_sets, local.all) : name => local.data.containers[container] }
}

module "ml" {
  source = "../../azure/ml"

  name     = module.naming.name
  location = var.location
  profile  = var.profile
  tags     = module.naming.tags

  resource_group         = local.network.resource_group
  endpoint_subnet_id     = local.network.subnet_ids["endpoints"]
  job_subnet_id          = local.network.subnet_ids["jobs"]
  private_dns_zone_ids   = local.network.private_dns_zone_ids
  log_workspace_id       = local.network.log_workspace_id
  log_private_link_scope = local.network.log_private_link_scope
  registry_id            = local.data.registry.id
  model_account_id       = local.data.storage["models"].id
  lake_account_id        = local.data.storage["lake"].id
  data_sets              = local.data_sets

  cpu                 = try(local.settings.cpu, null)
  gpu                 = try(local.settings.gpu, {})
  idle_minutes        = try(local.settings.idle_minutes, null)
  scientists          = try(local.settings.scientists, null)
  deletion_protection = try(local.settings.deletion_protection, null)
}
