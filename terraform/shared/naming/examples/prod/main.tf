# Names and tags of a production environment:
#   terraform init && terraform apply
terraform {
  required_version = ">= 1.11"
}

module "naming" {
  source = "../.."

  project     = "acme"
  environment = "prod"
  part        = "weu"
  team        = "risk"
  cost_centre = "4711"
  more_tags   = { data-class = "internal" }
}

output "naming" {
  description = "What every module is given."
  value       = module.naming
}
