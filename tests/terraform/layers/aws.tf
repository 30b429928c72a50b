# All layers of AWS, wired by their outputs, in the small and without what an emulator of AWS does not know.
terraform {
  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = "~> 5.100"
    }
  }
}

variable "databases" {
  type    = bool
  default = true
}

provider "aws" {
  region = "eu-central-1"
}

locals {
  name = "acme-dev"
  tags = { project = "acme", environment = "dev", team = "ml", cost-centre = "4711" }
}

module "network" {
  source              = "./network"
  name                = local.name
  tags                = local.tags
  interface_endpoints = ["sts"]
}

module "cluster" {
  source          = "./cluster"
  name            = local.name
  tags            = local.tags
  subnet_ids      = module.network.private_subnet_ids
  alarm_topic_arn = module.network.alarm_topic_arn
  manage_addons   = false
}

module "data" {
  source                    = "./data"
  name                      = local.name
  tags                      = local.tags
  vpc_id                    = module.network.vpc_id
  database_subnet_ids       = module.network.database_subnet_ids
  client_security_group_ids = { cluster = module.cluster.security_group_id }
  alarm_topic_arn           = module.network.alarm_topic_arn
  postgres                  = var.databases ? {} : null
  force_destroy             = true # the access logs of the test itself
  redis                     = var.databases ? {} : null
}

module "ml" {
  source          = "./ml"
  name            = local.name
  tags            = local.tags
  vpc_id          = module.network.vpc_id
  subnet_ids      = module.network.private_subnet_ids
  buckets         = { models = module.data.bucket_arns["models"], data = module.data.bucket_arns["data"] }
  kms_key_arn     = module.data.kms_key_arn
  repository_arns = values(module.data.repository_arns)
  model_groups    = ["fraud"]
  cluster         = { name = module.cluster.name, oidc_provider_arn = module.cluster.oidc_provider_arn, oidc_issuer = module.cluster.oidc_issuer }
  workloads       = { serving = { namespace = "models", service_account = "serving", reads = ["models"], identity = "irsa" } }
}

output "everything" {
  value = { network = module.network, cluster = module.cluster, data = module.data, ml = module.ml }
}
