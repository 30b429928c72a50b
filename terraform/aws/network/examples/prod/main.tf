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

module "network" {
  source = "../.."

  name    = "acme-prod"
  profile = "prod"
  zones   = ["eu-central-1a", "eu-central-1b", "eu-central-1c"]
  tags    = { project = "acme", environment = "prod", team = "ml", cost-centre = "4711" }
}

output "network" {
  description = "What the other layers are wired to."
  value       = module.network
}
