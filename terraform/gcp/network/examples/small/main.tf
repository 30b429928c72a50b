# A network for a small environment:
#   terraform init && terraform apply -var project_id=MY-PROJECT
variable "project_id" {
  description = "Id of the Google Cloud project."
  type        = string
}

terraform {
  required_version = ">= 1.11"

  required_providers {
    google = {
      source  = "hashicorp/google"
      version = ">= 6.50, < 7"
    }
  }
}

provider "google" {
  project = var.project_id
  region  = "europe-west1"
}

module "network" {
  source = "../.."

  project_id = var.project_id
  region     = "europe-west1"
  name       = "acme-dev"
  tags       = { project = "acme", environment = "dev", team = "risk", cost-centre = "7" }
}

output "network" {
  description = "All that the module says."
  value       = module.network
}
