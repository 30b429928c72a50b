# Three production networks, connected; their modules' outputs are what is asked for:
#   terraform init && terraform apply
variable "vpc_id" {
  description = "VPC of AWS."
  type        = string
}

variable "route_table_ids" {
  description = "Route tables of AWS that learn the way to the other clouds."
  type        = list(string)
}

variable "project_id" {
  description = "Id of the Google Cloud project."
  type        = string
}

variable "network_id" {
  description = "Network of Google Cloud (projects/PROJECT/global/networks/NAME)."
  type        = string
}

variable "resource_group" {
  description = "Resource group of Azure."
  type        = string
}

variable "gateway_subnet_id" {
  description = "Subnet of Azure for the gateway."
  type        = string
}

variable "gcp_azure_secret" {
  description = "Secret that Google Cloud and Azure share."
  type        = string
  sensitive   = true
}

terraform {
  required_version = ">= 1.11"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = "~> 5.100"
    }

    azurerm = {
      source  = "hashicorp/azurerm"
      version = "~> 4.55"
    }

    google = {
      source  = "hashicorp/google"
      version = ">= 6.50, < 7"
    }
  }
}

provider "aws" {
  region = "eu-central-1"
}

provider "azurerm" {
  features {}
}

provider "google" {
  project = var.project_id
}

module "vpn" {
  source = "../.."

  name    = "acme-prod"
  profile = "prod"
  tags    = { project = "acme", environment = "prod", team = "ml", cost-centre = "4711" }

  aws = {
    vpc_id          = var.vpc_id
    route_table_ids = var.route_table_ids
  }

  gcp = {
    project_id = var.project_id
    region     = "europe-west1"
    network_id = var.network_id
  }

  azure = {
    resource_group    = var.resource_group
    location          = "westeurope"
    gateway_subnet_id = var.gateway_subnet_id
  }

  gcp_azure_secret = var.gcp_azure_secret
}

output "vpn" {
  description = "All that the module says."
  value       = module.vpn
}
