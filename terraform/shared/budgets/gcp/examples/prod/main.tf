# A budget of a production environment:
#   terraform init && terraform apply -var project_id=MY-PROJECT -var billing_account=012345-6789AB-CDEF01
variable "project_id" {
  description = "Id of the Google Cloud project."
  type        = string
}

variable "billing_account" {
  description = "Id of the billing account that pays."
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
  project               = var.project_id
  billing_project       = var.project_id
  user_project_override = true
}

module "budget" {
  source = "../.."

  name    = "acme-prod"
  profile = "prod"
  tags    = { project = "acme", environment = "prod", team = "risk", cost-centre = "4711" }
  by_tag  = "project"
  amount  = 5000
  emails  = ["ml@example.com"]

  project_id      = var.project_id
  billing_account = var.billing_account
}

output "budget" {
  description = "All that the module says."
  value       = module.budget
}
