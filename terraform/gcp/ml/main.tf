locals {
  prod      = var.profile == "prod"
  protected = coalesce(var.deletion_protection, local.prod)
  labels    = merge(var.tags, { managed-by = "mcml" })
  suffix    = var.generation == "" ? "" : "-${var.generation}"

  # Each holds for one instance only, whether Google calls the project by its id or its number.
  only_postgres = "resource.service == 'sqladmin.googleapis.com' && resource.name == 'projects/${var.project_id}/instances/${var.postgres_instance}'"
  only_redis    = "resource.service == 'memorystore.googleapis.com' && resource.name.endsWith('/locations/${var.region}/instances/${var.redis_instance}')"
}

resource "google_project_service" "this" {
  for_each = toset([
    "aiplatform.googleapis.com",
    "cloudasset.googleapis.com",
    "cloudkms.googleapis.com",
    "compute.googleapis.com",
    "iam.googleapis.com",
    "iamcredentials.googleapis.com",
    "monitoring.googleapis.com",
    "notebooks.googleapis.com",
  ])

  project            = var.project_id
  service            = each.key
  disable_on_destroy = false
}

data "google_project" "this" {
  project_id = var.project_id
}
