provider "aws" {
  region              = var.aws_region
  profile             = var.aws_login.profile
  allowed_account_ids = var.aws_login.account_id[*]

  dynamic "assume_role" {
    for_each = var.aws_login.role_arn[*]

    content {
      role_arn = assume_role.value
    }
  }
}

provider "google" {
  project                     = var.gcp_project_id
  region                      = var.gcp_region
  impersonate_service_account = var.gcp_login.impersonate_service_account
}

provider "azurerm" {
  subscription_id = var.azure_subscription_id
  tenant_id       = var.azure_tenant_id

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

  unit  = "vpn"
  given = var.settings
  known = { asn = ["aws", "gcp", "azure"] }
}

locals {
  settings = module.settings.given
  aws      = var.aws
  gcp      = var.gcp
  azure    = var.azure
}

module "vpn" {
  source = "../../shared/vpn"

  name    = module.naming.name
  profile = var.profile
  tags    = module.naming.tags

  aws = {
    vpc_id          = local.aws.vpc_id
    route_table_ids = local.aws.private_route_table_ids
    asn             = try(local.settings.asn.aws, null)
  }

  gcp = {
    project_id = var.gcp_project_id
    region     = var.gcp_region
    network_id = local.gcp.network_id
    asn        = try(local.settings.asn.gcp, null)
  }

  azure = {
    resource_group    = local.azure.resource_group
    location          = local.azure.location
    gateway_subnet_id = local.azure.gateway_subnet_id
    asn               = try(local.settings.asn.azure, null)
  }

  gcp_azure_secret = var.gcp_azure_secret
}
