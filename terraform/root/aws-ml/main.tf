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

  unit  = "aws-ml"
  given = var.settings
  known = {
    model_groups = []
    workloads    = ["*.namespace", "*.service_account", "*.reads", "*.writes", "*.identity"]
  }
}

locals {
  settings = module.settings.given
  network  = var.network
  cluster  = var.cluster
  data     = var.data
}

module "ml" {
  source = "../../aws/ml"

  name = module.naming.name
  tags = module.naming.tags

  vpc_id          = local.network.vpc_id
  subnet_ids      = local.network.private_subnet_ids
  buckets         = { models = local.data.bucket_arns["models"], data = local.data.bucket_arns["data"] }
  kms_key_arn     = local.data.kms_key_arn
  repository_arns = values(local.data.repository_arns)

  cluster = local.cluster == null ? null : {
    name              = local.cluster.name
    oidc_provider_arn = local.cluster.oidc_provider_arn
    oidc_issuer       = local.cluster.oidc_issuer
  }

  model_groups = try(local.settings.model_groups, null)
  workloads    = try(local.settings.workloads, null)
}
