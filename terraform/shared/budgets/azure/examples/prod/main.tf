# A budget of a production environment:
#   terraform init && terraform apply -var subscription_id=$ARM_SUBSCRIPTION_ID -var first_month=$(date +%Y-%m)
variable "subscription_id" {
  description = "Id of the subscription."
  type        = string
}

variable "first_month" {
  description = "Month that the budget begins with, such as 2026-11."
  type        = string
}

terraform {
  required_version = ">= 1.11"

  required_providers {
    azurerm = {
      source  = "hashicorp/azurerm"
      version = "~> 4.55"
    }
  }
}

provider "azurerm" {
  features {}
  subscription_id = var.subscription_id
}

module "budget" {
  source = "../.."

  name    = "acme-prod"
  profile = "prod"
  tags    = { project = "acme", environment = "prod", team = "risk", cost-centre = "4711" }
  by_tag  = "project"
  amount  = 5000
  emails  = ["ml@example.com"]

  subscription_id = var.subscription_id
  first_month     = var.first_month
}

output "budget" {
  description = "All that the module says."
  value       = module.budget
}
