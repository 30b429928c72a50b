# Identities and a workbench, on what the modules `network`, `cluster` and `data` made:
#   terraform init && terraform apply -var project_id=MY-PROJECT
variable "project_id" {
  description = "Id of the Google Cloud project."
  type        = string
}

variable "deletion_protection" {
  description = "Refuse to destroy the workbench."
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

module "ml" {
  source = "../.."

  project_id             = var.project_id
  region                 = "europe-west1"
  name                   = "acme-dev"
  tags                   = { project = "acme", environment = "dev", team = "risk", cost-centre = "7" }
  network_id             = "projects/${var.project_id}/global/networks/acme-dev"
  machines_subnetwork_id = "projects/${var.project_id}/regions/europe-west1/subnetworks/acme-dev-machines"
  buckets                = { models = "${var.project_id}-acme-dev-models", data = "${var.project_id}-acme-dev-data" }
  dataset_id             = "acme_dev_ml"
  costs_dataset_id       = "acme_dev_costs"
  repository_id          = "acme-dev"
  postgres_instance      = "acme-dev"
  redis_instance         = "acme-dev-redis"
  workload_pool          = "${var.project_id}.svc.id.goog"
  operators              = { ada = "user:ada@example.com" }
  workbench_users        = { scientists = "group:scientists@example.com" }
  deletion_protection    = var.deletion_protection
}

output "ml" {
  description = "All that the module says."
  value       = module.ml
}
