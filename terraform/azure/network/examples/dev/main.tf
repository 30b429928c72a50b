# A small network with its own addresses. Sign in with `az login` and name the subscription in ARM_SUBSCRIPTION_ID:
#   terraform init && terraform apply
terraform {
  required_providers {
    azurerm = {
      source  = "hashicorp/azurerm"
      version = "~> 4.55"
    }
  }
}

provider "azurerm" {
  features {}
}

module "network" {
  source = "../.."

  name           = "acme-dev-weu"
  location       = "westeurope"
  address_space  = "10.30.0.0/16"
  gateway_subnet = true
  trusted_ranges = ["10.40.0.0/16"]

  tags = {
    project     = "acme"
    environment = "dev"
    team        = "risk"
    cost-centre = "7"
  }
}

output "network" {
  description = "What the other layers are given."
  value       = module.network
}
