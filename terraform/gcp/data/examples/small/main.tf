# Small stores in a network that the module `network` made; the first administrator's password is in no file and no state:
#   export TF_VAR_admin_password=...; terraform init && terraform apply -var project_id=MY-PROJECT
variable "project_id" {
  description = "Id of the Google Cloud project."
  type        = string
}

variable "admin_password" {
  description = "Password of PostgreSQL's first user."
  type        = string
  sensitive   = true
  ephemeral   = true
}

variable "deletion_protection" {
  description = "Refuse to destroy what holds data."
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

module "data" {
  source = "../.."

  project_id                      = var.project_id
  region                          = "europe-west1"
  name                            = "acme-dev"
  tags                            = { project = "acme", environment = "dev", team = "risk", cost-centre = "7" }
  private_services_network_id     = "projects/${var.project_id}/global/networks/acme-dev"
  memorystore_network_id          = "projects/${var.project_id}/global/networks/acme-dev"
  postgres_users                  = { analyst = "user:ada@example.com" }
  postgres_admin_password         = var.admin_password
  postgres_admin_password_version = 1
  registry_readers                = { nodes = "serviceAccount:acme-dev-nodes@${var.project_id}.iam.gserviceaccount.com" }
  billing_export_table            = "acme-finance.billing.gcp_billing_export_v1_012345_6789AB_CDEF01"
  deletion_protection             = var.deletion_protection
  force_destroy                   = true
}

output "data" {
  description = "All that the module says."
  value       = module.data
}
