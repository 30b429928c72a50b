terraform {
  required_version = ">= 1.11"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = "~> 5.100"
    }
  }
}

provider "aws" {
  region = "eu-central-1"
}

module "ml" {
  source = "../.."

  name       = "acme-prod"
  vpc_id     = "vpc-0a1b2c3d4e5f60001"
  subnet_ids = ["subnet-0a1b2c3d4e5f60001", "subnet-0a1b2c3d4e5f60002", "subnet-0a1b2c3d4e5f60003"]
  tags       = { project = "acme", environment = "prod", team = "ml", cost-centre = "4711" }

  kms_key_arn     = "arn:aws:kms:eu-central-1:123456789012:key/0a1b2c3d-0000-0000-0000-000000000001"
  repository_arns = ["arn:aws:ecr:eu-central-1:123456789012:repository/acme-prod/serving"]
  model_groups    = ["fraud"]
  cluster         = { name = "acme-prod" }

  buckets = {
    models = "arn:aws:s3:::acme-prod-models-123456789012"
    data   = "arn:aws:s3:::acme-prod-data-123456789012"
  }
}

output "ml" {
  description = "What the other layers are wired to."
  value       = module.ml
}
