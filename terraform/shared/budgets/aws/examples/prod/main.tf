# A budget of a production environment:
#   terraform init && terraform apply
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
  region = "us-east-1"
}

module "budget" {
  source = "../.."

  name    = "acme-prod"
  profile = "prod"
  tags    = { project = "acme", environment = "prod", team = "risk", cost-centre = "4711" }
  by_tag  = "project"
  amount  = 5000
  emails  = ["ml@example.com"]
}

output "budget" {
  description = "All that the module says."
  value       = module.budget
}
