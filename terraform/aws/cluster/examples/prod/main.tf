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

module "cluster" {
  source = "../.."

  name           = "acme-prod"
  profile        = "prod"
  subnet_ids     = ["subnet-0a1b2c3d4e5f60001", "subnet-0a1b2c3d4e5f60002", "subnet-0a1b2c3d4e5f60003"]
  tags           = { project = "acme", environment = "prod", team = "ml", cost-centre = "4711" }
  administrators = { platform = "arn:aws:iam::123456789012:role/platform" }
  access         = { scientists = { principal_arn = "arn:aws:iam::123456789012:role/scientists", namespaces = ["models"] } }
  ml             = { spot = true, max = 20 }
}

output "cluster" {
  description = "What the other layers are wired to."
  value       = module.cluster
}
