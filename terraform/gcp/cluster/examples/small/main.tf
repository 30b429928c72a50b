# A small cluster in a network that the module `network` made:
#   terraform init && terraform apply -var project_id=MY-PROJECT
variable "project_id" {
  description = "Id of the Google Cloud project."
  type        = string
}

variable "deletion_protection" {
  description = "Refuse to destroy the cluster."
  type        = bool
  default     = false
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

module "cluster" {
  source = "../.."

  project_id          = var.project_id
  region              = "europe-west1"
  name                = "acme-dev"
  tags                = { project = "acme", environment = "dev", team = "risk", cost-centre = "7" }
  network_id          = "projects/${var.project_id}/global/networks/acme-dev"
  subnetwork_id       = "projects/${var.project_id}/regions/europe-west1/subnetworks/acme-dev-nodes"
  deletion_protection = var.deletion_protection

  # One kind of spot GPU nodes, in the one zone that has them.
  gpu = { machine_type = "g2-standard-4", zones = ["europe-west1-b"], max = 1 }
}

output "cluster" {
  description = "All that the module says."
  value       = module.cluster
}
